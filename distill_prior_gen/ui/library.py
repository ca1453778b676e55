"""The models that a tab offers.

A list is there at once, however many models there are: it shows what is known of a file, and
the names of those that are not read yet. What is known of a file counts until it changes.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, Generic, TypeVar

from distill_prior_gen.checkpoint.description import describe_model
from distill_prior_gen.demo import demo_model
from distill_prior_gen.messages import in_words, printable

if TYPE_CHECKING:
    from distill_prior_gen.model import PriorModel

SUFFIXES = (".distill", ".sda")
DEMO = "demo"

KEPT = 2
"""Models that stay loaded."""

MOST_KNOWN = 20_000
"""Descriptions that are kept."""

LISTING_S = 1.0
"""Seconds that a list may take to read files. The others are read in the background."""

SETTLED_NS = 2 * 10**9
"""Time after a change within which a file may change again and keep its time stamps."""

T = TypeVar("T")


@dataclass(frozen=True)
class Entry:
    """A model file, playable or not.

    Attributes:
        path: of the file.
        label: what to call it, with dataset and perplexity.
        reason: why it cannot be played, None if it can.
        codebook_size: codes a level, if the file says.
    """

    path: Path
    label: str
    reason: str | None
    codebook_size: int | None = None


@dataclass(frozen=True)
class FileState:
    """What tells that a file has changed. Times are in nanoseconds."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> FileState:
        """The state of a regular file.

        Raises:
            OSError: if there is none.
        """
        stat = os.stat(path)
        if not S_ISREG(stat.st_mode):
            raise OSError(f"{path} is not a file")
        return cls(stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)

    def settled(self) -> bool:
        """Whether the file cannot change any more without another state."""
        return time.time_ns() - max(self.modified, self.changed) > SETTLED_NS


class Known(Generic[T]):
    """What was made of files, the last `most` of it."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.values: dict[tuple[Path, str], tuple[FileState, T, bool]] = {}
        self.lock = threading.Lock()

    def get(self, path: Path, name: str, state: FileState) -> tuple[T | None, bool]:
        """What was made of a file in that state, and whether that state was settled."""
        known, value, settled = self.values.get((path, name), (None, None, False))
        return (value, settled) if known == state else (None, False)

    def put(self, path: Path, name: str, state: FileState, value: T) -> None:
        """Keep what was made of a file after `state` was found."""
        with self.lock:
            self.values.pop((path, name), None)
            self.values[path, name] = state, value, state.settled()
            while len(self.values) > self.most:
                del self.values[next(iter(self.values))]

    def drop(self, path: Path, name: str) -> None:
        with self.lock:
            self.values.pop((path, name), None)


_entries: Known[Entry] = Known(MOST_KNOWN)
_models: Known[PriorModel] = Known(KEPT)
_reading = threading.Lock()
_loading = threading.Lock()


def find_models(
    folders: Sequence[Path], uploads: dict[str, Path] | None = None
) -> dict[str, Entry]:
    """Models by an identifier that tells nothing of where they are.

    Files that cannot be read in `LISTING_S` are listed by their names, as if they could be
    played, and read in the background.

    Args:
        folders: to look in; what is missing is passed over.
        uploads: further files by their identifiers.

    Returns:
        Uploads, then the models of the folders, newest first, then those that cannot be
        played, and last the demo model.
    """
    found = sorted(_files(folders), key=lambda file: file[2].modified, reverse=True)
    uploaded = [(key, path) for key, path in reversed((uploads or {}).items())]
    entries = {key: entry(path, key) for key, path in uploaded}
    deadline = time.monotonic() + LISTING_S
    unread = []
    for identifier, path, state in found:
        known, settled = _entries.get(path, identifier, state)
        if known is None and time.monotonic() < deadline:
            known, settled = entry(path, identifier), True
        if not settled:
            unread.append((path, identifier))
        entries[identifier] = known or Entry(path, printable(identifier), None)
    _read_later(unread)
    ordered = dict(sorted(entries.items(), key=lambda item: item[1].reason is not None))
    return ordered | {DEMO: entry(demo_model(), DEMO)}


def find_model(
    identifier: str, folders: Sequence[Path], uploads: dict[str, Path] | None = None
) -> Entry | None:
    """The model behind an identifier of `find_models`; looks at that file alone."""
    if identifier == DEMO:
        return entry(demo_model(), DEMO)
    if uploads and identifier in uploads:
        return entry(uploads[identifier], identifier)
    match = re.fullmatch(r"(.*?)(?: \((\d{1,4})\))?", identifier, re.DOTALL)
    assert match
    name, number = match[1], int(match[2] or 1)
    if not _is_model(name) or Path(name).name != name or not 1 <= number <= len(folders):
        return None
    path = folders[number - 1] / name
    if not path.is_file() and "\\" in name:  # perhaps a name that is no valid text
        same = (path for key, path, _ in _files(folders) if key == identifier)
        path = next(same, path)
    return entry(path, identifier) if path.is_file() else None


def any_models(folders: Iterable[Path]) -> bool:
    """Whether there is a model file in one of the folders."""
    return any(True for _ in _files(folders))


def entry(path: Path, identifier: str) -> Entry:
    """What is known of one file, which is read if it may have changed."""
    try:
        state = FileState.of(path)
        known, settled = _entries.get(path, identifier, state)
        if known is None or not settled:
            known = _describe(path, identifier)
            _entries.put(path, identifier, state, known)
        return known
    except Exception as error:  # costs this entry, and not the list
        reason = printable(in_words(error).replace(printable(path), identifier))
        return Entry(path, f"{printable(identifier)} (cannot be played)", reason)


def loaded_model(path: Path, device: str) -> PriorModel:
    """The model, loaded again only if the file has changed.

    Raises:
        OSError: if there is no such file.
        ModelFileError: if it cannot be sampled.
    """
    from distill_prior_gen.model import load_model

    with _loading:
        state = FileState.of(path)
        model, settled = _models.get(path, device, state)
        if model is None or not (settled or model.sha256 == _sha256(path)):
            _models.drop(path, device)  # before another takes as much memory
            model = load_model(path, device)
        _models.put(path, device, state, model)
        return model


def _files(folders: Iterable[Path]) -> Iterator[tuple[str, Path, FileState]]:
    """Identifier, path and state of the model files in folders, those hidden left out.

    The identifier is the name, followed by the number of the folder if it is not the first; so
    it stays the same when other files come and go.
    """
    for number, folder in enumerate(folders, 1):
        try:
            names = [file.name for file in os.scandir(folder) if _is_model(file.name)]
        except OSError:
            continue
        for name in names:
            path = folder / name
            try:
                state = FileState.of(path)
            except OSError:
                continue
            # A name that is no valid text cannot be sent to a browser.
            text = name.encode("utf-8", "backslashreplace").decode()
            yield (text if number == 1 else f"{text} ({number})"), path, state


def _is_model(name: str) -> bool:
    return name.endswith(SUFFIXES) and not name.startswith(".")


def _read_later(files: list[tuple[Path, str]]) -> None:
    """Read files in the background, unless others are being read."""
    if not files or not _reading.acquire(blocking=False):
        return

    def read() -> None:
        try:
            for path, identifier in files:
                entry(path, identifier)
        finally:
            _reading.release()

    threading.Thread(target=read, name="model descriptions", daemon=True).start()


def _describe(path: Path, identifier: str) -> Entry:
    description = describe_model(path)
    if not description["playable"]:
        reason = description["reason"].replace(printable(path), identifier)
        return Entry(path, f"{description['name']} (cannot be played)", reason)
    perplexity = description["prior"]["perplexity"]
    parts = [
        description["name"],
        description["dataset"],
        f"perplexity {perplexity:.1f}" if perplexity else None,
    ]
    label = ", ".join(part for part in parts if part)
    return Entry(path, label, None, description["codebook"]["size"])


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
