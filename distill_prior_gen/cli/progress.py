"""The progress bar of the commands."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from distill_prior_gen.config import Progress


def shows_progress(progress: bool | None, quiet: bool) -> bool:
    """Whether ``--progress`` and ``--quiet`` ask for a progress bar; the default is a terminal."""
    return not quiet and (sys.stderr.isatty() if progress is None else progress)


@contextmanager
def progress_bar(show: bool) -> Iterator[Progress]:
    """A `Progress` that draws a bar on standard error, or does nothing."""
    from tqdm import tqdm

    style = "{desc} {percentage:3.0f}% |{bar:30}| {elapsed}"
    with tqdm(total=1.0, bar_format=style, leave=False, file=sys.stderr, disable=not show) as bar:
        shown = ""

        def report(share: float, text: str) -> None:
            nonlocal shown
            bar.n = share
            if text != shown:
                shown = text
                bar.set_description_str(text)
            else:
                bar.update(0)

        yield report
