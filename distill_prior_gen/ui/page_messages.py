"""Messages of the page: errors of the user, and paths as the reader may see them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import gradio as gr
from gradio.context import LocalContext

from distill_prior_gen.hookspecs import TabContext
from distill_prior_gen.messages import in_words
from distill_prior_gen.ui.hosts import is_local

MAX_MESSAGE_LENGTH = 500
"""Characters of an error message that are shown."""

refusal = partial(gr.Error, print_exception=False)
"""An error of the user. It is shown on the page, and not on the server's console."""


def explain(error: Exception, context: TabContext, upload: str | None = None) -> gr.Error:
    """Turn any error into one that the page can show.

    Args:
        error: the error.
        context: the tab's context, whose folders are kept from other machines.
        upload: path of an uploaded file. Only its name is shown.
    """
    text = in_words(error)
    if upload:
        text = text.replace(upload, Path(upload).name)
    if not is_served_locally():
        text = _hide_folders(text, context)
    return refusal(text[:MAX_MESSAGE_LENGTH])


def visible_path(path: Path) -> str:
    """A path, without its folders if other machines can see the page."""
    return str(path) if is_served_locally() else path.name


def is_served_locally() -> bool:
    """Whether only this machine can see the page. Then its folders are no secret."""
    blocks = LocalContext.blocks.get(None)
    return blocks is None or is_local(getattr(blocks, "server_name", None) or "", blocks.share)


def _hide_folders(text: str, context: TabContext) -> str:
    folders = (*context.models_dirs, *context.recordings_dirs, context.output_dir, Path.home())
    for folder in folders:
        for name in (folder.resolve(), folder.absolute()):
            text = text.replace(f"{name}/", "").replace(str(name), folder.name)
    return text
