"""A cache of what was read from files, which is valid until a file changes."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Generic, TypeVar

SETTLED_NS = 2 * 10**9
"""Time after a change within which a file may change again and keep its time stamps."""

T = TypeVar("T")


@dataclass(frozen=True)
class FileState:
    """The state of a file, by which a change is noticed. Times are in nanoseconds."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> FileState:
        """The state of a regular file.

        Raises:
            OSError: if there is no such file.
        """
        stat = os.stat(path)
        if not S_ISREG(stat.st_mode):
            raise OSError(f"{path} is not a file")
        return cls(stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)

    def is_settled(self) -> bool:
        """Whether every further change of the file gives it another state."""
        return time.time_ns() - max(self.modified, self.changed) > SETTLED_NS


class FileCache(Generic[T]):
    """Values that were read from files, by path and name.

    Args:
        max_values: number of values that are kept. The oldest value is dropped first.
    """

    def __init__(self, max_values: int) -> None:
        self.max_values = max_values
        self.values: dict[tuple[Path, str], tuple[FileState, T, bool]] = {}
        self.lock = threading.Lock()

    def get(self, path: Path, name: str, state: FileState) -> tuple[T | None, bool]:
        """The value of a file in this state, or None, and whether the state was settled then."""
        cached_state, value, settled = self.values.get((path, name), (None, None, False))
        return (value, settled) if cached_state == state else (None, False)

    def put(self, path: Path, name: str, state: FileState, value: T) -> None:
        """Store a value that was read after the file was found in this state."""
        with self.lock:
            self.values.pop((path, name), None)
            self.values[path, name] = state, value, state.is_settled()
            while len(self.values) > self.max_values:
                del self.values[next(iter(self.values))]

    def drop(self, path: Path, name: str) -> None:
        with self.lock:
            self.values.pop((path, name), None)
