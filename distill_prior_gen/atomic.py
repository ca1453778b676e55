"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """Yield a path in the same folder to write to; it becomes `path` when the block succeeds.

    Raises:
        FileExistsError: if `path` exists and `overwrite` is False; it is left as it was.
    """
    if not overwrite and path.exists():
        raise FileExistsError(f"{path} exists")
    partial = path.with_name(f".{path.stem}-{secrets.token_hex(4)}{path.suffix}")
    try:
        yield partial
        if not overwrite:
            # Takes the name without a race; not every file system has hard links for it.
            path.touch(exist_ok=False)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
