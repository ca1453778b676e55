"""Opening files that come from outside, which may not be files at all."""

from __future__ import annotations

import hashlib
import io
import os
import stat


class NotRegularFileError(ValueError):
    """A path refers to something other than a regular file.

    Attributes:
        kind: what it is, "a folder" or "a device or a pipe".
    """

    def __init__(self, path: str | os.PathLike[str], mode: int) -> None:
        self.kind = "a folder" if stat.S_ISDIR(mode) else "a device or a pipe"
        super().__init__(f"{path} is {self.kind}, not a file")


def open_regular(path: str | os.PathLike[str]) -> io.FileIO:
    """Open a regular file for reading; never wait as for a pipe, and open no device.

    Raises:
        NotRegularFileError: if it is something else.
        OSError: if it cannot be opened.
    """
    mode = os.stat(path).st_mode
    if stat.S_ISREG(mode):
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        file = io.FileIO(os.open(path, flags))
        mode = os.fstat(file.fileno()).st_mode
        if stat.S_ISREG(mode):  # it may have been replaced in between
            return file
        file.close()
    raise NotRegularFileError(path, mode)


def file_sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
