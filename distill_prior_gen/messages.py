"""Messages for the person at the keyboard."""

from __future__ import annotations

import errno

REASONS = {
    errno.ENOENT: "there is no such file or folder",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EROFS: "the file system is read-only",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ENOTDIR: "part of the path is a file, not a folder",
    errno.EISDIR: "it is a folder, not a file",
}


def printable(text: object) -> str:
    """Text in one line, with characters that a terminal would obey shown as escapes."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in " ".join(str(text).split())
    )


def in_words(error: BaseException) -> str:
    """What went wrong, in one line that is never empty."""
    if isinstance(error, OSError) and error.errno in REASONS and error.filename:
        return printable(f"{error.filename}: {REASONS[error.errno]}")
    if isinstance(error, OSError) and error.strerror and error.filename:
        return printable(f"{error.filename}: {error.strerror}")
    text = printable(error)
    if isinstance(error, MemoryError):
        return text or "out of memory; make less at once, or close other programs"
    if isinstance(error, RecursionError):
        return "something is nested too deeply"
    expected = (ValueError, ArithmeticError, ImportError, OSError)
    if isinstance(error, expected) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
