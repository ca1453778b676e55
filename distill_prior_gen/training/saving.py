"""Where a model is saved: claimed and checked before the training, and found anew if that fails."""

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
"""Writes a model to a path; the second argument tells whether it may replace a file."""


def make_folder(path: Path) -> None:
    """Make the folder of a file.

    Raises:
        OSError: if that is not possible, with `path` as its file name.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        number = errno.ENOTDIR if error.errno == errno.EEXIST else error.errno
        raise OSError(number, os.strerror(number or 0), str(path)) from error


@contextmanager
def claimed(path: Path, *others: Path) -> Iterator[None]:
    """Hold the name of a file that is written later, in a folder that files can be written to.

    The claim is a lock on a hidden file in the folder. It ends with the process, however that ends.

    Args:
        path: of the file.
        others: files that are written beside it; their names are checked.

    Raises:
        FileExistsError: if another process holds the name.
        OSError: if it cannot be written there, with `path` as its file name.
    """
    target = Path(os.path.realpath(path))
    named = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]
    lock = target.parent / f".distill-prior-{named}.part"
    try:
        for name in (path, *others):
            with suppress(FileNotFoundError):
                os.stat(name)  # refuses names that are too long
        descriptor = _locked(lock)
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


def _locked(lock: Path) -> int:
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
        os.close(descriptor)  # the one that held it has just removed it


def check_space(path: Path, needed: int) -> None:
    """Refuse a place on a disk that is too full.

    Args:
        path: of a file in a folder that exists.
        needed: bytes.

    Raises:
        OSError: if less is free.
    """
    free = shutil.disk_usage(os.path.realpath(path.parent)).free
    if free < needed:
        raise OSError(
            f"the disk of {printable(path)} has {free / 1e6:.0f} MB left, and the training needs "
            f"{needed / 1e6:.0f} MB; make room there, or choose another folder"
        )


def save(path: Path, write: Write, overwrite: bool = False) -> tuple[Path, str]:
    """Write a model, and where that fails write it elsewhere, so that it is not lost.

    Returns:
        Where it is, and why it is not at `path`, in words; empty if it is.

    Raises:
        OSError: if it cannot be written anywhere.
    """
    try:
        write(path, overwrite)
    except Exception as error:
        failure = in_words(error)
    else:
        return path, ""
    for folder in (Path.cwd, Path.home, lambda: Path(tempfile.gettempdir())):
        try:
            other = unused(folder() / path.name)
            write(other, False)
        except Exception:
            continue
        return other, failure
    raise OSError(f"{failure}; the model could not be saved in another folder either")


def unused(path: Path) -> Path:
    """A path that is not taken: `path`, or the same with a number."""
    numbered = (path.with_name(f"{path.stem}-{n}{path.suffix}") for n in itertools.count(2))
    return next(p for p in itertools.chain([path], numbered) if not os.path.lexists(p))
