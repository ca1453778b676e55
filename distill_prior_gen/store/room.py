"""Which files the takes of a folder have, and which of them go when there are too many."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

FILE = re.compile(r"take-([1-9]\d{0,8})\.(flac|flac\.json|png|starred|removed)")
"""Names of the files of takes. Others are left alone."""

REMOVED_S = 86_400
"""Seconds for which a removed take can be brought back."""

PROMPT = re.compile(r".*(-[0-9a-f]{16})", re.DOTALL)
"""Names of what takes are made of, without the suffix; see `prompt_path`."""

PROMPTS = "prompts"
"""Folder of what takes are made of, see `keep_prompt`."""


@dataclass
class TakeFiles:
    """The files of one take.

    Attributes:
        files: their paths and sizes by their endings.
        time: when the take was saved, in seconds since 1970.
        removed_at: when it was removed, or None.
    """

    files: dict[str, tuple[Path, int]] = field(default_factory=dict)
    time: float = 0.0
    removed_at: float | None = None

    @property
    def starred(self) -> bool:
        return "starred" in self.files

    @property
    def is_listed(self) -> bool:
        return self.files.keys() >= {"flac", "flac.json"} and self.removed_at is None

    @property
    def size(self) -> int:
        """Size of all its files in bytes."""
        return sum(size for _, size in self.files.values())


def scan_takes(folder: Path) -> dict[int, TakeFiles]:
    """The files of the takes in a folder, by their numbers."""
    takes: dict[int, TakeFiles] = {}
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            name = FILE.fullmatch(entry.name)
            if not name or not entry.is_file(follow_symlinks=False):
                continue
            with suppress(FileNotFoundError):  # another page has removed it
                status = entry.stat()
                take = takes.setdefault(int(name[1]), TakeFiles())
                take.files[name[2]] = Path(entry.path), status.st_size
                if name[2] == "removed":
                    take.removed_at = status.st_mtime
                elif name[2] != "starred":
                    take.time = max(take.time, status.st_mtime)
    return takes


def make_room(folders: Sequence[Path], max_bytes: float) -> None:
    """Delete what was removed a day ago, and the oldest takes until the others fit into a size.

    Starred takes and what they start from stay, and do not count. The newest take stays, too.

    Args:
        folders: folders with takes.
        max_bytes: the size.
    """
    takes = [(folder, take) for folder in folders for take in scan_takes(folder).values()]
    going = [(folder, take) for folder, take in takes if _is_over(take)]
    # Removed ones first, then the oldest.
    rest = sorted(
        ((f, t) for f, t in takes if not (_is_over(t) or (t.starred and t.removed_at is None))),
        key=lambda pair: (pair[1].removed_at is None, pair[1].time),
    )
    size = sum(take.size for _, take in rest) + sum(map(_prompt_bytes, folders))
    for pair in going:
        _delete(*pair)
    for folder, take in rest[:-1]:
        if size <= max_bytes:
            break
        size -= take.size + _delete(folder, take)


def _is_over(take: TakeFiles) -> bool:
    return take.removed_at is not None and time.time() - take.removed_at > REMOVED_S


def _delete(folder: Path, take: TakeFiles) -> int:
    """Delete a take and the prompts that no other one needs; the size of those in bytes."""
    sidecar = _read(take)
    for path, _ in take.files.values():
        path.unlink(missing_ok=True)
    mine = [(path, size) for path, size in _prompts(folder).items() if _key(path) in sidecar]
    if not mine:
        return 0
    others = [_read(other) for other in scan_takes(folder).values()]
    unused = [(p, size) for p, size in mine if not any(_key(p) in text for text in others)]
    for path, _ in unused:
        path.unlink(missing_ok=True)
    return sum(size for _, size in unused)


def _prompt_bytes(folder: Path) -> int:
    """Size of the prompts that no starred take needs."""
    if not (prompts := _prompts(folder)):
        return 0
    starred = [_read(t) for t in scan_takes(folder).values() if t.starred]
    return sum(
        size for path, size in prompts.items() if not any(_key(path) in text for text in starred)
    )


def _prompts(folder: Path) -> dict[Path, int]:
    """Sizes of the files that takes of a folder are made of, in bytes."""
    try:
        files = [path for path in (folder / PROMPTS).iterdir() if PROMPT.fullmatch(path.stem)]
        return {path: path.stat().st_size for path in files if path.is_file()}
    except FileNotFoundError:
        return {}


def _key(prompt: Path) -> bytes:
    """The end of a prompt's name, which is in the sidecars that refer to it."""
    return prompt.stem[-17:].encode()


def _read(take: TakeFiles) -> bytes:
    """The sidecar of a take, or b"" if it has none."""
    with suppress(KeyError, OSError):
        return take.files["flac.json"][0].read_bytes()
    return b""
