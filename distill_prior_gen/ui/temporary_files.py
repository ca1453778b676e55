"""The temporary files of a server: a private folder, and a limit of their size."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PREFIX = "distill-prior-ui-"
IN_USE = "in use"
"""Name of the file that a running server has locked."""


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Create a private folder for the temporary files of this process.

    The folder is removed at the end. Folders that killed processes of the same user have left
    behind are removed at the beginning.
    """
    parent = Path(tempfile.gettempdir())
    _remove_leftovers(parent)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    files = folder / "files"
    before = tempfile.tempdir, os.environ.get("GRADIO_TEMP_DIR")
    try:
        files.mkdir()
        tempfile.tempdir = os.environ["GRADIO_TEMP_DIR"] = str(files)
        # The lock file gets its final name only after it is locked. Otherwise another process
        # that starts now could take this folder for a leftover.
        with (folder / "starting").open("w") as lock:
            _lock(lock.fileno())
            (folder / "starting").rename(folder / IN_USE)
            yield files
    finally:
        tempfile.tempdir = before[0]
        os.environ.pop("GRADIO_TEMP_DIR")
        if before[1] is not None:
            os.environ["GRADIO_TEMP_DIR"] = before[1]
        shutil.rmtree(folder, ignore_errors=True)


def _remove_leftovers(parent: Path) -> None:
    if not fcntl:
        return  # without locks, nothing shows which folders are in use
    for lock in parent.glob(f"{PREFIX}*/{IN_USE}"):
        with suppress(OSError):  # it belongs to another user, or is in use
            if lock.parent.is_symlink() or lock.lstat().st_uid != os.getuid():
                continue
            with lock.open("r+") as file:
                _lock(file.fileno())
                shutil.rmtree(lock.parent, ignore_errors=True)


def _lock(descriptor: int) -> None:
    """Lock a file until it is closed. Raise `OSError` if another process has locked it."""
    if fcntl:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def make_room(folder: Path, max_bytes: int) -> None:
    """Delete the oldest files below a folder until the others need at most `max_bytes`."""
    files = []
    for file in folder.rglob("*"):
        with suppress(OSError):  # the file is gone already
            if file.is_file():
                status = file.stat()
                files.append((status.st_mtime, status.st_size, file))
    size = sum(size for _, size, _ in files)
    for _, freed, file in sorted(files):
        if size <= max_bytes:
            break
        with suppress(OSError):
            file.unlink()
            size -= freed
