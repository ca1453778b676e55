"""The Prior tab: choose a model, set how to sample it, listen, keep what is good.

`controls` and `results` have what stands on the page, `actions` what it does; here they are
connected.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.context import Context

from distill_prior_gen.hookspecs import TabContext
from distill_prior_gen.ui.controls import (
    FAULT,
    MADE,
    START,
    Bar,
    SettingsPanel,
    bar,
    refuse_addresses,
    settings_panel,
)
from distill_prior_gen.ui.results import COPY, TakePanel, bit_depth, take_panel
from distill_prior_gen.ui.session import Session
from distill_prior_gen.ui.settings import SETTINGS
from distill_prior_gen.ui.take_maker import Actions

HERE = Path(__file__).parent

QUIET: dict[str, Any] = {"show_progress": "hidden", "api_name": False}
"""For events that are over at once, and are no endpoints."""


def build_tab(context: TabContext) -> None:
    """Build the tab's components and events into the Blocks that are open."""
    actions = Actions(context)
    session = gr.State(Session())
    with gr.Column(elem_id="distill-prior") as column:
        # The Distill app has its own style, so the tab brings what it needs.
        style = (HERE / "tab.css").read_text(encoding="utf-8")
        gr.HTML(f"<style>{style}</style>", elem_id="distill-prior-style")
        with gr.Row():
            with gr.Column(scale=2, min_width=340):
                settings = settings_panel(actions.listed(None, Session()))
            with gr.Column(scale=3, min_width=340):
                take = take_panel()
        below = bar()
    refuse_addresses(column)

    def leave(request: gr.Request) -> None:
        actions.leave(request.session_hash)

    if Context.root_block is not None:
        Context.root_block.unload(leave)
    # Without triggers: when the page is loaded.
    gr.on(None, None, js=(HERE / "tab.js").read_text(encoding="utf-8"))
    _connect_models(actions, session, settings, below)
    _connect_settings(settings)
    _connect_generation(actions, session, settings, take, below)
    _connect_takes(actions, session, settings, take)
    _connect_export(actions, session, take)


def _connect_models(
    actions: Actions, session: gr.State, settings: SettingsPanel, below: Bar
) -> None:
    model, top_k = settings.model, settings.settings["top_k"]
    about_model = {
        "fn": actions.chosen,
        "inputs": [model, session],
        "outputs": [settings.message, below.generate],
        **QUIET,
    }
    about_top_k = {
        "fn": actions.about_top_k,
        "inputs": [top_k, model, session],
        "outputs": top_k,
        **QUIET,
    }
    listing: dict[str, Any] = {
        "fn": actions.refresh,
        "inputs": [model, session],
        "outputs": model,
        **QUIET,
    }
    uploading: dict[str, Any] = {
        "fn": actions.upload,
        "inputs": [settings.upload, session],
        "outputs": model,
        "api_name": "upload_prior_model",
    }
    loaded = gr.on(None, **listing)
    refreshed = settings.refresh.click(**listing)
    uploaded = settings.upload.upload(**uploading)
    for listed in (loaded, refreshed, uploaded, *(tab.select(**listing) for tab in _open_tab())):
        listed.then(**about_model)
    model.change(**about_model).then(**about_top_k)
    top_k.change(**about_top_k)


def _open_tab() -> Iterator[gr.Tab]:
    """The tab that is being built, if any."""
    block = Context.block
    while block is not None and not isinstance(block, gr.Tab):
        block = block.parent
    if block is not None:
        yield block


def _connect_settings(settings: SettingsPanel) -> None:
    prompt, start = settings.settings["prompt"], settings.settings["start"]
    prompt.change(_about_prompt, prompt, settings.beginning, **QUIET)
    start.change(
        lambda start: gr.Slider(visible=start == "vary"),
        start,
        settings.settings["vary"],
        **QUIET,
    )
    settings.randomize.click(_random_seed, None, settings.settings["seed"], **QUIET)


def _connect_generation(
    actions: Actions, session: gr.State, settings: SettingsPanel, take: TakePanel, below: Bar
) -> None:
    def make(*given: Any) -> list[Any]:
        key, *values, count, session, request, progress = given
        try:
            actions.make(key, values, count, session, request.session_hash, progress)
        except gr.Error as error:
            session.fault = error.message
            error.visible = False  # since the bar says it
            raise
        return [*actions.show(None, session), MADE.format(session.made)]

    def fault(session: Session) -> str:
        return FAULT.format(escape(session.fault))

    def stop(number: int | None, session: Session, request: gr.Request) -> list[Any]:
        actions.stop(request.session_hash)
        return actions.show(number, session)

    _name_parameters(make)
    controls = [settings.model, *settings.settings.values()]
    making: dict[str, Any] = {
        "fn": make,
        "inputs": [*controls, settings.count, session],
        "outputs": [*take.shown, below.status],
        "preprocess": False,  # Gradio's refusals do not name the control
        "show_progress_on": below.status,
        "concurrency_id": "distill-prior",
        "concurrency_limit": 1,
    }
    details = _details(actions, session, take)
    seed = settings.settings["seed"]
    made = gr.on([below.generate.click, seed.submit], **making, api_name="generate_prior_take")
    lengthened = take.longer.click(
        lambda number, session: actions.settings(number, session, longer=True),
        [take.chosen, session],
        controls,
        **QUIET,
    )
    made_longer = lengthened.success(**making, api_name=False)
    for event in (made, made_longer):
        event.success(**details)
        event.failure(fault, session, below.status, **QUIET)
    below.cancel.click(
        stop, [take.chosen, session], take.shown, queue=False, cancels=[made, made_longer], **QUIET
    ).then(**details)


def _name_parameters(make: Any) -> None:
    """Give `make` the parameters from which Gradio names those of the endpoint."""
    kind = Parameter.POSITIONAL_OR_KEYWORD
    names = ("key", *SETTINGS, "count", "session", "request")
    progress = Parameter("progress", kind, default=gr.Progress())
    make.__signature__ = Signature([*(Parameter(name, kind) for name in names), progress])
    make.__annotations__ = {"request": gr.Request}


def _details(actions: Actions, session: gr.State, take: TakePanel) -> dict[str, Any]:
    """The event that follows whenever another take is shown."""
    return {
        "fn": actions.details,
        "inputs": [take.chosen, take.screen, session],
        "outputs": take.details,
        "js": "(number) => [number, window.distillPrior.screen(), null]",
        "show_progress_on": take.picture,
        "api_name": False,
    }


def _connect_takes(
    actions: Actions, session: gr.State, settings: SettingsPanel, take: TakePanel
) -> None:
    details = _details(actions, session, take)
    which = [take.chosen, session]
    take.chosen.input(actions.show, which, take.shown, **QUIET).then(**details)
    take.restore.click(
        actions.settings, which, [settings.model, *settings.settings.values()], **QUIET
    )
    take.remove.click(actions.remove, which, take.shown, **QUIET).then(**details)
    take.undo.click(actions.undo, session, take.shown, **QUIET).then(**details)
    take.repeat.change(None, take.repeat, None, js="(repeat) => window.distillPrior.repeat(repeat)")
    later = f"() => new Promise((end) => setTimeout(() => end('{COPY}'), 2000))"
    for js in ("(text) => window.distillPrior.copy(text)", later):
        take.copy.click(None, take.command, take.copy, js=js)


def _connect_export(actions: Actions, session: gr.State, take: TakePanel) -> None:
    def export_take(
        number: Any,
        format_: Any,
        rate: Any,
        depth: Any,
        title: Any,
        artist: Any,
        album: Any,
        session: Session,
    ) -> tuple[gr.File, str]:
        values = [format_, rate, depth, title, artist, album]
        copies, text = actions.export(number, values, session)
        return gr.File(copies, visible=True), text

    def download_take(number: Any, *values_and_session: Any) -> list[str]:
        *values, session = values_and_session
        return actions.download(number, values, session)

    export = take.export
    format_, _, depth, *_ = export.values
    format_.change(bit_depth, format_, depth, **QUIET)
    limits: dict[str, Any] = {"concurrency_id": "distill-prior-export", "concurrency_limit": 1}
    export.button.click(
        export_take,
        [take.chosen, *export.values, session],
        [export.files, export.saved],
        preprocess=False,
        show_progress_on=export.saved,
        api_name="export_prior_take",
        **limits,
    )
    take.download.click(
        download_take,
        [take.chosen, *export.values, session],
        take.downloads,
        preprocess=False,
        **limits,
        **QUIET,
    ).success(None, take.downloads, None, js="(files) => window.distillPrior.download(files)")


def _about_prompt(prompt: str | None) -> gr.Accordion:
    """Names the sound where it can be seen when the accordion is closed."""
    return gr.Accordion(label=f"{START}: {Path(prompt).name}" if prompt else START)


def _random_seed() -> str:
    from distill_prior_gen.sampling.random_streams import new_seed

    return str(new_seed())
