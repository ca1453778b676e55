"""Saving takes to a folder, reading them again, and keeping the folder within a size."""

from __future__ import annotations

import hashlib
import math
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

from distill_prior_gen.atomic import atomic_write
from distill_prior_gen.export.files import write_take
from distill_prior_gen.export.naming import existing, sidecar_path
from distill_prior_gen.formats import ExportConfig
from distill_prior_gen.model import ModelIdentity
from distill_prior_gen.result import GenerationResult
from distill_prior_gen.store.room import TakeFiles, make_room, scan_takes
from distill_prior_gen.store.saved_take import SavedTake, read_take

BROWSER = re.compile(r"[0-9a-f]{32}")
"""Identifiers that browsers give themselves: 128 random bits."""

FOLDER = "takes"
"""Folder of the store below the output folder."""

BROWSERS = "browsers"
"""Folder of the parts of browsers of other machines."""

STARRED, REMOVED = "starred", "removed"
"""Marks of takes, which are empty files: starred takes are kept, removed ones are not listed."""


class TakeStore:
    """All takes below a folder.

    Args:
        folder: the folder, which need not exist yet.
        max_bytes: size that is kept. The oldest takes go first; starred ones are not counted, and
            stay.
    """

    def __init__(self, folder: Path, max_bytes: float = math.inf) -> None:
        self.folder = Path(os.path.abspath(folder))
        self.max_bytes = max_bytes
        self.parts: dict[str, Part] = {}
        self.lock = threading.Lock()

    def part(self, browser: str | None = None) -> Part:
        """The takes of one browser, or those of this machine.

        Args:
            browser: identifier that a browser of another machine has given itself. Whoever knows
                it sees the takes, so the name of the folder is its SHA-256. None for browsers of
                this machine, which share their takes.

        Raises:
            ValueError: if the identifier is not one of `BROWSER`.
        """
        if browser is None:
            return self._named_part("")
        if not BROWSER.fullmatch(browser):
            raise ValueError("the browser must be 32 hexadecimal digits")
        return self._named_part(f"{BROWSERS}/{hashlib.sha256(browser.encode()).hexdigest()[:32]}")

    def all_parts(self) -> list[Part]:
        """The parts that there are: first that of this machine."""
        folders = self.folder.glob(f"{BROWSERS}/*/")
        names = sorted(f"{BROWSERS}/{folder.name}" for folder in folders)
        return [self._named_part(name) for name in ("", *names)]

    def make_room(self) -> None:
        """Remove the oldest takes until the others need no more than the size."""
        make_room([part.folder for part in self.all_parts()], self.max_bytes)

    def _named_part(self, name: str) -> Part:
        with self.lock:
            return self.parts.setdefault(name, Part(self, name))


class Part:
    """Takes in one folder of the store; see `TakeStore.part`.

    Attributes:
        name: path below the folder of the store, "" for that of this machine.
        folder: the folder, which need not exist yet.
    """

    def __init__(self, store: TakeStore, name: str) -> None:
        self.store = store
        self.name = name
        self.folder = store.folder / name
        self.last_number = 0
        self.lock = threading.Lock()

    def next_number(self) -> int:
        """A number that no take has or will have."""
        with self.lock:
            self.last_number = max([self.last_number, *scan_takes(self.folder)]) + 1
            return self.last_number

    def save(
        self, number: int, result: GenerationResult, model: ModelIdentity, picture: bytes
    ) -> Path:
        """Save a take, and remove old ones if there are too many.

        Args:
            number: its number. If another server has saved a take under it, the next free one.
            result: the take.
            model: the model that it was made with.
            picture: a small PNG of it.

        Returns:
            The audio file.

        Raises:
            OSError: if it cannot be saved.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        while True:
            path = self.path(number)
            try:
                write_take(result, model, path, ExportConfig("flac"))
                break
            except FileExistsError:
                if not existing(path):
                    raise
                number = self.next_number()
        with atomic_write(path.with_suffix(".png"), overwrite=True) as partial:
            partial.write_bytes(picture)
        self.store.make_room()
        return path

    def path(self, number: int) -> Path:
        """The audio file of a number."""
        return self.folder / f"take-{number}.flac"

    def listed(self) -> dict[int, TakeFiles]:
        """The takes that are whole and not removed, the newest first."""
        found = scan_takes(self.folder)
        return {n: found[n] for n in sorted(found, reverse=True) if found[n].is_listed}

    def has(self, number: int) -> bool:
        """Whether there is a take that is whole and not removed."""
        path = self.path(number)
        whole = path.is_file() and sidecar_path(path).is_file()
        return whole and not path.with_suffix(f".{REMOVED}").exists()

    def is_starred(self, number: int) -> bool:
        """Whether a take has a star."""
        return self.path(number).with_suffix(f".{STARRED}").exists()

    def read(self, number: int) -> SavedTake | None:
        """A take, or None if there is none, or it is damaged."""
        try:
            return read_take(number, self.path(number))
        except (OSError, ValueError):
            return None

    def takes(self) -> Iterator[SavedTake]:
        """All listed takes, the newest first."""
        yield from filter(None, map(self.read, self.listed()))

    def picture(self, number: int) -> bytes:
        """The small PNG of a take, or b"" if there is none."""
        try:
            return self.path(number).with_suffix(".png").read_bytes()
        except OSError:
            return b""

    def mark(self, number: int, name: str, wanted: bool) -> None:
        """Mark a take with `STARRED` or `REMOVED`, or take the mark away.

        Raises:
            OSError: if the folder cannot be written.
            ValueError: if the starred takes of other machines would need more than the size.
        """
        mark = self.path(number).with_suffix(f".{name}")
        if not wanted:
            mark.unlink(missing_ok=True)
            return
        if name == STARRED and self.name:
            self._check_room(number)
        self.folder.mkdir(parents=True, exist_ok=True)
        mark.touch()

    def _check_room(self, number: int) -> None:
        others = (part for part in self.store.all_parts() if part.name)
        takes = [
            take
            for part in others
            for other, take in scan_takes(part.folder).items()
            if take.starred or (part is self and other == number)
        ]
        if sum(take.size for take in takes) > self.store.max_bytes:
            raise ValueError("there is no room for more starred takes; unstar another one first")
