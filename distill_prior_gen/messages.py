"""Messages for people: printable text, and errors in words."""

from __future__ import annotations

import errno
import unicodedata

REASONS = {
    errno.ENOENT: "there is no such file or folder",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EROFS: "the file system is read-only",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would be larger than is allowed",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ENOTDIR: "part of the path is a file, not a folder",
    errno.EISDIR: "it is a folder, not a file",
}

EXPECTED = (ValueError, ArithmeticError, ImportError, OSError)
"""Errors whose messages are sentences. Others are shown with their type."""


def printable(text: object) -> str:
    """Text in which characters that control a terminal, or cannot be shown, are escaped."""
    return "".join(
        character
        if character.isprintable() or unicodedata.category(character) == "Zs"
        else character.encode("unicode_escape").decode("ascii")
        for character in str(text)
    )


def in_words(error: BaseException) -> str:
    """Describe an error in one line, which is never empty."""
    text = printable(" ".join(line.strip() for line in str(error).splitlines())).strip()
    if isinstance(error, OSError) and error.strerror:
        reason = REASONS.get(error.errno or 0, error.strerror)
        files = [printable(file) for file in (error.filename, error.filename2) if file is not None]
        return f"{' to '.join(files)}: {reason}" if files else reason
    if isinstance(error, MemoryError):
        return text or "out of memory; make less at once, or close other programs"
    if isinstance(error, RecursionError):
        return "something is nested too deeply"
    if isinstance(error, SystemExit):
        return f"a plugin ended the program with sys.exit({text})"
    if isinstance(error, EXPECTED) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
