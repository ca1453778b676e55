"""The takes of one browser session."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from reprlib import repr as shortened
from typing import Any

from distill_prior_gen.store.saved_take import SavedTake
from distill_prior_gen.store.takes import REMOVED, Part
from distill_prior_gen.ui.history import History
from distill_prior_gen.ui.page_messages import refusal
from distill_prior_gen.ui.playing import Playing
from distill_prior_gen.ui.take import Listed, Take

MAX_SESSION_TAKES = 20
"""Takes that a session keeps in memory. The oldest take is dropped first."""

LIST_STEP = 30
"""Takes that the list shows at first, and how many more *Older takes* shows."""


@dataclass
class Session:
    """What one browser session has uploaded and made.

    Attributes:
        uploads: uploaded model files by their identifiers.
        entered: whether the page has got the takes of its browser.
        part: where its takes are saved, or None if they are not.
        takes: takes in memory by their numbers.
        removed: takes that can be brought back. The last one was removed last.
        history: what the board has shown.
        last_number: number of the last take that was made.
        query: what the list was searched for.
        list_length: how many takes the list shows at most.
        model_choices: the list of models as the page has it, None until it has one.
        selected: model that the app had loaded when it was last asked.
        error: reason why the last take could not be made.
        playing: the take that goes on while it plays, or None.
    """

    uploads: dict[str, Path] = field(default_factory=dict)
    entered: bool = False
    part: Part | None = None
    takes: dict[int, Take] = field(default_factory=dict)
    removed: list[Listed] = field(default_factory=list)
    history: History[Listed] = field(default_factory=History)
    last_number: int = 0
    query: str = ""
    list_length: int = LIST_STEP
    model_choices: list[tuple[str, str]] | None = None
    selected: Path | None = None
    error: str = ""
    playing: Playing | None = None

    def new_number(self) -> int:
        """The number of the next take."""
        return self.part.next_number() if self.part else self.last_number + 1

    def add(self, take: Take) -> None:
        """Add a take. If there are too many, removed takes are dropped first, then the oldest."""
        self.last_number = take.number
        self.takes[take.number] = take
        while self.removed and len(self.removed) + len(self.takes) > MAX_SESSION_TAKES:
            del self.removed[0]
        for oldest in list(self.takes)[:-MAX_SESSION_TAKES]:
            del self.takes[oldest]

    def listed(self) -> Iterator[Listed]:
        """The takes in memory and in the store, the newest first."""
        saved: Collection[int] = self.part.listed() if self.part else ()
        removed = {take.number for take in self.removed}
        for number in sorted({*self.takes, *saved} - removed, reverse=True):
            take = self.takes.get(number) or (self.part.read(number) if self.part else None)
            if take:
                yield take

    def find(self, number: Any) -> Listed | None:
        """The take of a number from the page, or None if there is no such take."""
        if type(number) is not int or number in (take.number for take in self.removed):
            return None
        if number in self.takes or self.part is None:
            return self.takes.get(number)
        return self.part.read(number) if self.part.has(number) else None

    def get_take(self, number: Any) -> Listed:
        """The take of a number from the page. None stands for the one on the board.

        Raises:
            gr.Error: if there is no such take.
        """
        if number is None and self.history.state:
            return self.history.state
        take = self.find(number)
        if take is None:
            raise refusal(f"There is no take {shortened(number)}; choose one from the list.")
        return take

    def all_takes(self) -> list[Take]:
        """The takes in memory: of the list, removed ones, and those of the history, each once."""
        takes = [*list(self.takes.values()), *self.removed, *list(self.history.states())]
        return list({id(take): take for take in takes if isinstance(take, Take)}.values())

    def show(self, take: Listed) -> None:
        """Put a take onto the board."""
        if self.history.state is not take:
            self.history.add(take)

    def is_kept(self, take: Listed) -> bool:
        """Whether a take is in the list."""
        return self.find(take.number) is take

    def keep(self) -> Take | None:
        """Add the take on the board to the list, under a new number, unless it is there."""
        take = self.history.state
        if not isinstance(take, Take) or self.is_kept(take):
            return None
        kept = replace(take, number=self.new_number())
        self.history.replace(take, kept)
        self.add(kept)
        return kept

    def put_in_memory(self, saved: SavedTake, take: Take) -> None:
        """Replace a take of the store by the same one in memory."""
        self.history.replace(saved, take)
        if self.find(take.number):
            self.takes[take.number] = take

    def drop(self, take: Take) -> None:
        """Drop a take from memory. In the list and on the board, it is then the saved one."""
        kept = self.takes.get(take.number) is take
        if kept:
            del self.takes[take.number]
        saved = self.part.read(take.number) if self.part and take.number else None
        was_removed = any(other is take for other in self.removed)
        if saved and (kept or was_removed):
            self.history.replace(take, saved)
            self.removed = [saved if other is take else other for other in self.removed]
        else:
            self.history.drop(take)
            self.removed = [other for other in self.removed if other is not take]

    def remove(self, take: Listed) -> None:
        """Remove a take, so that it can be brought back."""
        self.takes.pop(take.number, None)
        self.removed.append(take)
        if self.part:
            self.part.mark(take.number, REMOVED, True)

    def bring_back(self) -> int | None:
        """Bring back the take that was removed last, and return its number."""
        if not self.removed:
            return None
        take = self.removed.pop()
        if self.part:
            self.part.mark(take.number, REMOVED, False)
        if isinstance(take, Take):
            self.takes = dict(sorted({**self.takes, take.number: take}.items()))
        return take.number
