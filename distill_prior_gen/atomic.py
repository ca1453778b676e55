"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PREFIX, SUFFIX = ".distill-prior-", ".part"
"""Beginning and end of the names of unfinished files."""

PROBE_BYTES = 1 << 20
"""Number of bytes that are written to find out why a library failed to write."""


@contextmanager
def atomic_write(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path to write to, which becomes `path` when the block succeeds.

    Links are followed, and the permissions of a file that is replaced are kept.

    Raises:
        FileExistsError: if `path` exists and `overwrite` is False. It is not changed.
        OSError: if it cannot be written. Its file name is `path`. Errors of libraries that do not
            say why they failed to write are replaced by one that does.
    """
    target = Path(os.path.realpath(path))
    try:
        replaced = _status(path, target)
        if replaced and not overwrite:
            raise FileExistsError(f"{path} exists")
        _remove_leftovers(target.parent)
        partial, descriptor = _create(target.parent)
        try:
            try:
                yield partial
            except Exception as error:
                if not isinstance(error, OSError):
                    with partial.open("ab") as file:  # raises an OSError that says why
                        file.write(bytes(PROBE_BYTES))
                raise
            os.fsync(descriptor)
            if replaced:
                os.chmod(partial, stat.S_IMODE(replaced.st_mode))
            if overwrite:
                os.replace(partial, target)
            else:
                _claim(partial, target)
        finally:
            os.close(descriptor)
            partial.unlink(missing_ok=True)
    except OSError as error:
        own = error.filename is None or Path(str(error.filename)).name.startswith(PREFIX)
        if error.errno is None or not own:
            raise
        if error.errno == errno.EEXIST:
            raise FileExistsError(f"{path} exists") from error
        raise OSError(error.errno, error.strerror, str(path)) from error


def check_writable(path: Path) -> None:
    """Check that a file could be written, without leaving anything behind.

    Missing folders are not created; the nearest existing one is checked.

    Raises:
        OSError: if it could not. Its file name is `path`.
    """
    try:
        target = Path(os.path.realpath(path))
        _status(path, target)
        folder = target.parent
        while not os.path.lexists(folder):
            folder = folder.parent
        partial, descriptor = _create(folder)
        os.close(descriptor)
        partial.unlink()
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def _status(path: Path, target: Path) -> os.stat_result | None:
    """Status of what a path refers to, or None for nothing. Raises OSError if it is not a file."""
    try:
        status = os.stat(target)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(f"{path} is a device or a pipe; choose another name")
    return status


def _create(folder: Path) -> tuple[Path, int]:
    """A new file that is locked while its descriptor is open."""
    while True:
        partial = folder / f"{PREFIX}{secrets.token_hex(8)}{SUFFIX}"
        descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        with suppress(OSError):  # some file systems have no locks
            if fcntl:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return partial, descriptor
        os.close(descriptor)  # another run removed it as a leftover before it was locked


def _remove_leftovers(folder: Path) -> None:
    """Remove the unfinished files of runs that were killed. Those of running ones are locked."""
    if not fcntl:
        return
    for leftover in folder.glob(f"{PREFIX}*{SUFFIX}"):
        with suppress(OSError):
            descriptor = os.open(leftover, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                leftover.unlink()
            finally:
                os.close(descriptor)


def _claim(partial: Path, target: Path) -> None:
    """Give a finished file its final name, unless the name is taken."""
    try:
        os.link(partial, target)
    except FileExistsError:
        raise
    except OSError:  # some file systems have no hard links
        os.close(os.open(target, os.O_CREAT | os.O_EXCL, 0o666))
        os.replace(partial, target)
