"""The Prior tab: choose a model, set how to sample it, listen, keep what is good.

`controls` has what stands on the page, `actions` what it does; here the two are connected.
"""

from __future__ import annotations

from inspect import Parameter, Signature
from pathlib import Path
from typing import Any

import gradio as gr

from distill_prior_gen.plugins import TabContext
from distill_prior_gen.ui.actions import Actions
from distill_prior_gen.ui.controls import (
    START,
    SettingsPanel,
    TakePanel,
    bit_depth,
    settings_panel,
    take_panel,
)
from distill_prior_gen.ui.settings import SETTINGS
from distill_prior_gen.ui.takes import Session

QUIET: dict[str, Any] = {"show_progress": "hidden", "api_name": False}
"""For events that are over at once, and are no endpoints."""


def build_tab(context: TabContext) -> None:
    """Build the tab's components and events into the Blocks that are open."""
    actions = Actions(context)
    session = gr.State(Session())
    with gr.Row():
        with gr.Column(scale=2, min_width=340):
            settings = settings_panel(actions.listed(None, Session()))
        with gr.Column(scale=3, min_width=380):
            take = take_panel()
    _connect_models(actions, session, settings, take)
    _connect_settings(settings)
    _connect_generation(actions, session, settings, take)
    _connect_takes(actions, session, settings, take)
    _connect_export(actions, session, take)


def _connect_models(
    actions: Actions, session: gr.State, settings: SettingsPanel, take: TakePanel
) -> None:
    model, top_k = settings.model, settings.settings["top_k"]
    about_model = {
        "fn": actions.chosen,
        "inputs": [model, session],
        "outputs": [take.message, take.player, settings.generate],
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
    # Without triggers: when the page is loaded.
    loaded = gr.on(None, **listing)
    refreshed = settings.refresh.click(**listing)
    for listed in (loaded, refreshed, settings.upload.upload(**uploading)):
        listed.then(**about_model)
    model.change(**about_model).then(**about_top_k)
    top_k.change(**about_top_k)


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
    actions: Actions, session: gr.State, settings: SettingsPanel, take: TakePanel
) -> None:
    def make(*given: Any) -> list[Any]:
        key, *values, count, session, request, progress = given
        actions.make(key, values, count, session, request.session_hash, progress)
        return actions.show(None, session)

    def stop(session: Session, request: gr.Request) -> list[Any]:
        actions.stop(request.session_hash)
        return actions.show(None, session)

    _name_parameters(make)
    controls = [settings.model, *settings.settings.values()]
    making: dict[str, Any] = {
        "fn": make,
        "inputs": [*controls, settings.count, session],
        "outputs": take.shown,
        "show_progress_on": take.player,
        "concurrency_id": "distill-prior",
        "concurrency_limit": 1,
    }
    drawing = _drawing(actions, session, take)
    made = settings.generate.click(**making, api_name="generate_prior_take")
    lengthened = take.longer.click(
        lambda number, session: actions.settings(number, session, longer=True),
        [take.chosen, session],
        controls,
        **QUIET,
    )
    made_longer = lengthened.success(**making, api_name=False)
    made.success(**drawing)
    made_longer.success(**drawing)
    settings.cancel.click(
        stop, session, take.shown, queue=False, cancels=[made, made_longer], **QUIET
    ).then(**drawing)


def _name_parameters(make: Any) -> None:
    """Give `make` the parameters from which Gradio names those of the endpoint."""
    kind = Parameter.POSITIONAL_OR_KEYWORD
    names = ("key", *SETTINGS, "count", "session", "request")
    progress = Parameter("progress", kind, default=gr.Progress())
    make.__signature__ = Signature([*(Parameter(name, kind) for name in names), progress])
    make.__annotations__ = {"request": gr.Request}


def _drawing(actions: Actions, session: gr.State, take: TakePanel) -> dict[str, Any]:
    return {
        "fn": actions.draw,
        "inputs": [take.chosen, session],
        "outputs": take.picture,
        "api_name": False,
    }


def _connect_takes(
    actions: Actions, session: gr.State, settings: SettingsPanel, take: TakePanel
) -> None:
    drawing = _drawing(actions, session, take)
    which = [take.chosen, session]
    take.chosen.input(actions.show, which, take.shown, **QUIET).then(**drawing)
    take.restore.click(
        actions.settings, which, [settings.model, *settings.settings.values()], **QUIET
    )
    take.remove.click(actions.remove, which, take.shown, **QUIET).then(**drawing)
    take.copy.click(
        None, take.command, None, js="(text) => { navigator.clipboard.writeText(text); }"
    )


def _connect_export(actions: Actions, session: gr.State, take: TakePanel) -> None:
    def export_take(
        number: Any,
        format_: str,
        rate: int,
        depth: int | None,
        title: str,
        artist: str,
        album: str,
        session: Session,
    ) -> tuple[gr.File, str]:
        tags = {"title": title, "artist": artist, "album": album}
        copies, text = actions.export(number, format_, rate or None, depth or None, tags, session)
        return gr.File(copies, visible=True), text

    export = take.export
    format_, _, depth, *_ = export.values
    format_.change(bit_depth, format_, depth, **QUIET)
    export.button.click(
        export_take,
        [take.chosen, *export.values, session],
        [export.files, export.saved],
        concurrency_id="distill-prior-export",
        concurrency_limit=1,
        show_progress_on=export.saved,
        api_name="export_prior_take",
    )


def _about_prompt(prompt: str | None) -> gr.Accordion:
    """Names the sound where it can be seen when the accordion is closed."""
    return gr.Accordion(label=f"{START}: {Path(prompt).name}" if prompt else START)


def _random_seed() -> str:
    from distill_prior_gen.sampling.streams import new_seed

    return str(new_seed())
