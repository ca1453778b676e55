"""A bar for the progress of long work."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from distill_prior_gen.config import Progress


@contextmanager
def progress_bar(show: bool = True) -> Iterator[Progress]:
    """A `Progress` that draws a bar: below the cell of a notebook, else on standard error.

    Args:
        show: whether it does; False for a `Progress` that does nothing.
    """
    from tqdm.auto import tqdm
    from tqdm.std import tqdm as text_tqdm

    # In a notebook, tqdm draws what "{bar}" stands for as a widget.
    in_text = tqdm.display is text_tqdm.display
    style = "{desc} {percentage:3.0f}% |{bar:30}| {elapsed}" if in_text else "{desc} {bar}{elapsed}"
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
