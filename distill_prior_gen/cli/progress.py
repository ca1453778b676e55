"""Whether the commands show progress."""

from __future__ import annotations

import sys


def shows_progress(progress: bool | None, quiet: bool) -> bool:
    """Whether ``--progress`` and ``--quiet`` ask for a progress bar; the default is a terminal."""
    return not quiet and (sys.stderr.isatty() if progress is None else progress)
