"""Saving a model: reserving its name, checking the disk, and falling back to other folders."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from distill_prior_gen.messages import in_words, printable

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

Write = Callable[[Path, bool], None]
"""Function that writes a model to a path; the second argument is whether to replace a file."""


def make_folder(path: Path) -> None:
    """Make the folder of a file, unless it exists.

    Raises:
        OSError: if that is not possible. Its file name is `path`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        number = errno.ENOTDIR if error.errno == errno.EEXIST else error.errno
        raise OSError(number, os.strerror(number or 0), str(path)) from error


@contextmanager
def reserve(path: Path, *others: Path) -> Iterator[None]:
    """Reserve the name of a file that is written later, and check that it can be written.

    A lock on a hidden file in the folder reserves the name. It ends with the process at the
    latest, however that ends.

    Args:
        path: the file.
        others: further files in the same folder, whose names are checked.

    Raises:
        FileExistsError: if another process has reserved the name.
        OSError: if files cannot be written there. Its file name is `path`.
    """
    target = Path(os.path.realpath(path))
    digest = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]
    lock = target.parent / f".distill-prior-{digest}.part"
    try:
        for name in (path, *others):
            with suppress(FileNotFoundError):
                os.stat(name)  # refuses names that are too long
        descriptor = _acquire_lock(lock)
    except BlockingIOError as error:
        raise FileExistsError(
            f"{printable(path)} is being trained by another process; wait until it is done, or "
            "choose another name"
        ) from error
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    try:
        yield
    finally:
        with suppress(OSError):
            lock.unlink()
        os.close(descriptor)


def _acquire_lock(lock: Path) -> int:
    """Create and lock a file without waiting, and return its descriptor."""
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if fcntl:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise
        except OSError:
            return descriptor  # not every file system has locks
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(lock)):
                return descriptor
        os.close(descriptor)  # its last holder has just removed the file


def check_space(path: Path, needed: int) -> None:
    """Check that a disk has enough free space.

    Args:
        path: a file that need not exist, in a folder that does.
        needed: space in bytes.

    Raises:
        OSError: if less space is free.
    """
    free = shutil.disk_usage(os.path.realpath(path.parent)).free
    if free < needed:
        raise OSError(
            f"the disk of {printable(path)} has {free / 1e6:.0f} MB left, and the training needs "
            f"{needed / 1e6:.0f} MB; make room there, or choose another folder"
        )


def save(path: Path, write: Write, overwrite: bool = False) -> tuple[Path, str]:
    """Write a model; if that fails, write it to another folder, so that it is not lost.

    The other folders are the current folder, the home folder and that of temporary files.

    Args:
        path: where to write the model.
        write: function that writes it.
        overwrite: whether to replace a file at `path`.

    Returns:
        The path that was written, and why it is not `path`; the reason is empty if it is.

    Raises:
        OSError: if the model cannot be written to any of the folders.
    """
    try:
        write(path, overwrite)
    except Exception as error:
        failure = in_words(error)
    else:
        return path, ""
    for folder in (Path.cwd, Path.home, lambda: Path(tempfile.gettempdir())):
        try:
            other = unused_path(folder() / path.name)
            write(other, False)
        except Exception:
            continue
        return other, failure
    raise OSError(f"{failure}; the model could not be saved in another folder either")


def unused_path(path: Path) -> Path:
    """A path that does not exist: `path`, or if that exists, `path` with a number."""
    numbered = (path.with_name(f"{path.stem}-{n}{path.suffix}") for n in itertools.count(2))
    return next(p for p in itertools.chain([path], numbered) if not os.path.lexists(p))
