"""Recordings that can be trained on: files that were uploaded, and folders of the server."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from distill_prior_gen.audio.recordings import find_recordings
from distill_prior_gen.messages import printable


def find_folders(roots: Iterable[Path]) -> dict[str, Path]:
    """Folders that hold recordings, by names that do not tell where they are.

    Args:
        roots: these folders and those within them are listed. Missing ones are skipped.
    """
    folders: dict[str, Path] = {}
    for root in roots:
        for folder in _walk(root):
            place = Path(root.resolve().name, folder.relative_to(root)).as_posix()
            key, number = printable(place), 2
            while key in folders:
                key, number = f"{printable(place)} ({number})", number + 1
            folders[key] = folder
    return folders


def _walk(root: Path) -> Iterator[Path]:
    """A folder and those within it, as far as they hold recordings, without hidden ones."""
    for place, names, _ in os.walk(root):
        names[:] = sorted(name for name in names if not name.startswith("."))
        if files_in(Path(place)):
            yield Path(place)


def files_in(folder: Path) -> dict[str, Path]:
    """The recordings in a folder and in those within it, by their names relative to it."""
    files, _ = find_recordings(folder)
    return {path.relative_to(folder).as_posix(): path for path in files}


def name_uploads(paths: Iterable[Path]) -> dict[str, Path]:
    """Uploaded files by their names. Of equal names, later ones get a number."""
    files: dict[str, Path] = {}
    for path in paths:
        name, number = path.name, 2
        while name in files:
            name, number = f"{path.stem} ({number}){path.suffix}", number + 1
        files[name] = path
    return files


def gather(files: dict[str, Path], folder: Path) -> None:
    """Put recordings into a new folder, as links where that is possible, else as copies.

    Args:
        files: the recordings by their names relative to `folder`.
        folder: the folder, which must not exist.

    Raises:
        OSError: if a recording is gone, or the disk is full.
    """
    folder.mkdir(parents=True)
    for name, path in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path.resolve(), place)
        except FileNotFoundError:
            raise
        except OSError:  # another file system
            shutil.copyfile(path, place)
