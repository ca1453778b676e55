"""The stand-alone app: the registered tabs without the Distill app."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distill_prior_gen.core_bridge import add_tab, failure_logged
from distill_prior_gen.hookspecs import TabContext
from distill_prior_gen.plugins import tabs

if TYPE_CHECKING:
    import gradio as gr

DAY_S = 86_400


def create_app(context: TabContext) -> gr.Blocks:
    """Create a Gradio app of all registered tabs. Temporary files are deleted after a day."""
    import gradio as gr

    with gr.Blocks(title="Distill Prior", fill_width=True, delete_cache=(DAY_S, DAY_S)) as app:
        gr.Markdown("# Distill Prior")
        tab_row = gr.Tabs(elem_id="distill-prior-app")
    for tab in tabs():
        with failure_logged(f"No tab {tab.label!r}"):
            add_tab(app, tab_row, tab, context)
    return app
