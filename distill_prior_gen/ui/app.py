"""The stand-alone app: the registered tabs, without the rest of Distill."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distill_prior_gen.plugins import Tab, TabContext, registered_tabs

if TYPE_CHECKING:
    import gradio as gr

DAY_S = 86_400


def create_app(context: TabContext) -> gr.Blocks:
    """A Gradio app of all registered tabs, whose temporary files are deleted after a day."""
    import gradio as gr

    ordered: list[Tab] = []
    for tab in registered_tabs():
        position = len(ordered) if tab.position is None else tab.position
        ordered.insert(position, tab)
    with gr.Blocks(title="Distill Prior", fill_width=True, delete_cache=(DAY_S, DAY_S)) as app:
        gr.Markdown("# Distill Prior")
        with gr.Tabs(elem_id="distill-prior-app"):
            for tab in ordered:
                with gr.Tab(tab.label, id=tab.identifier):
                    tab.build(context)
    return app
