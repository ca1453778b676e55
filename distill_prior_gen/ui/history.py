"""States of the board, through which one can go back and forth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

State = TypeVar("State")


@dataclass(eq=False)
class Step(Generic[State]):
    """A change, and the states that it offers to choose from.

    Attributes:
        options: the states. The first is the one before the change if there are several.
        chosen: number of the chosen one.
    """

    options: list[State]
    chosen: int

    @property
    def state(self) -> State:
        """The chosen state."""
        return self.options[self.chosen]


@dataclass
class History(Generic[State]):
    """Steps in their order, of which one is shown.

    Attributes:
        steps: the steps. Those after the shown one were undone.
        position: number of the shown step.
    """

    steps: list[Step[State]] = field(default_factory=list)
    position: int = -1
    _last: tuple[Step[State], int] | None = None  # what `switch` returns to

    @property
    def step(self) -> Step[State] | None:
        """The step that is shown, or None while there is none."""
        return self.steps[self.position] if self.steps else None

    @property
    def state(self) -> State | None:
        """The state that is shown, or None while there is none."""
        return self.step.state if self.step else None

    def states(self) -> Iterator[State]:
        """All states; those that are in several steps come several times."""
        for step in self.steps:
            yield from step.options

    def add(self, *states: State) -> Step[State]:
        """Show a new state, the last one of `states`, after the shown one. What was undone goes."""
        self._remember()
        step = Step(list(states), len(states) - 1)
        self.steps[self.position + 1 :] = [step]
        self.position += 1
        return step

    def choose(self, number: int) -> None:
        """Show another state of the shown step."""
        assert self.step
        self._remember()
        self.step.chosen = number

    def undo(self) -> None:
        """Show the state before the shown one, if there is one."""
        self._move(-1)

    def redo(self) -> None:
        """Show the state that was undone last, if there is one."""
        self._move(1)

    def can_move(self, by: int) -> bool:
        """Whether `undo` (-1) or `redo` (1) would change the state."""
        return self._target(by) is not None

    def switch(self) -> None:
        """Show the state that was shown before the shown one. Twice, nothing has changed."""
        if self._last and self._last[0] in self.steps:
            step, chosen = self._last
            self._remember()
            self.position, step.chosen = self.steps.index(step), chosen

    def replace(self, old: State, new: State) -> None:
        """Put another state in the place of one."""
        for step in self.steps:
            step.options = [new if each is old else each for each in step.options]

    def drop(self, state: State) -> None:
        """Forget a state, and the steps in which it was chosen."""
        shown = self.step
        for step in list(self.steps):
            if step.state is state:
                self.steps.remove(step)
                continue
            chosen = step.state
            step.options = [each for each in step.options if each is not state]
            step.chosen = next(n for n, each in enumerate(step.options) if each is chosen)
        self._last = None
        if shown in self.steps:
            self.position = self.steps.index(shown)
        else:
            self.position = min(self.position, len(self.steps) - 1)

    def _remember(self) -> None:
        self._last = (self.step, self.step.chosen) if self.step else None

    def _target(self, by: int) -> int | None:
        """The nearest position in a direction whose state is another one."""
        position = self.position + by
        while 0 <= position < len(self.steps):
            if self.steps[position].state is not self.state:
                return position
            position += by
        return None

    def _move(self, by: int) -> None:
        if (target := self._target(by)) is not None:
            self._remember()
            self.position = target
