"""The Prior tab: choose a model, set how to sample it, listen, and keep what is good.

This module connects components with functions. The components are built in `controls` and
`results`. The functions are in `model_list`, `take_maker`, `take_view` and `take_export`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.context import Context

from distill_prior_gen.hookspecs import TabContext
from distill_prior_gen.ui.board_events import (
    NO_PROGRESS,
    connect_board,
    name_parameters,
    show_error,
)
from distill_prior_gen.ui.controls import (
    STATUS_DONE,
    Bar,
    SettingsPanel,
    build_bar,
    build_settings_panel,
    refuse_urls,
)
from distill_prior_gen.ui.list_events import connect_list
from distill_prior_gen.ui.model_list import ModelList
from distill_prior_gen.ui.play_on import keep_of_closed_page
from distill_prior_gen.ui.play_on_events import connect_play_on
from distill_prior_gen.ui.preset_events import connect_presets
from distill_prior_gen.ui.remembered import connect_memory
from distill_prior_gen.ui.results import COPY_LABEL, TakePanel, build_bit_depth, build_take_panel
from distill_prior_gen.ui.session import Session
from distill_prior_gen.ui.setting_controls import PROMPT_LABEL
from distill_prior_gen.ui.settings import DESCRIPTOR_LABELS, SETTINGS
from distill_prior_gen.ui.take_export import TakeExporter
from distill_prior_gen.ui.take_maker import TakeMaker
from distill_prior_gen.ui.take_view import (
    page_values,
    show_board,
    show_take,
)

HERE = Path(__file__).parent

CLICK_GENERATE = "() => document.querySelector('#distill-prior-generate').click()"
"""Does nothing while the button is disabled."""

SCRIPTS = ("tab.js", "board.js", "board_keys.js", "play_on.js")


def build_tab(context: TabContext) -> None:
    """Build the tab's components and events into the open `gr.Blocks`."""
    models = ModelList(context)
    maker = TakeMaker(models)
    session = gr.State(Session())
    with gr.Column(elem_id="distill-prior") as column:
        # The Distill app has its own style, so the tab brings what it needs.
        style = _read("tab.css") + _read("board.css")
        gr.HTML(f"<style>{style}</style>", elem_id="distill-prior-style")
        with gr.Row():
            with gr.Column(scale=2, min_width=340):
                settings = build_settings_panel(models.model_choices(None, Session()))
            with gr.Column(scale=3, min_width=340):
                take = build_take_panel()
        bar = build_bar()
    refuse_urls(column)

    def leave(request: gr.Request) -> None:
        try:
            keep_of_closed_page(maker, request.session_hash)
        finally:
            maker.leave(request.session_hash)

    if Context.root_block is not None:
        Context.root_block.unload(leave)
    scripts = "".join(f"({_read(name)})();" for name in SCRIPTS)
    recalled = connect_memory(models, session, settings, scripts)
    connect_presets(models, session, settings, recalled)
    entered = connect_list(maker, session, take, recalled)
    _connect_models(models, session, settings, bar, entered)
    _connect_settings(settings)
    _connect_generation(maker, session, settings, take, bar)
    _connect_takes(models, session, settings, take)
    connect_play_on(maker, session, settings, take, bar)
    _connect_export(TakeExporter(maker), session, take)


def _read(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _connect_models(
    models: ModelList, session: gr.State, settings: SettingsPanel, bar: Bar, entered: Any
) -> None:
    model, top_k = settings.model, settings.controls["top_k"]
    like = settings.controls["like"]
    describe_choice = {
        "fn": models.describe_choice,
        "inputs": [model, session],
        "outputs": [settings.message, bar.generate],
        **NO_PROGRESS,
    }
    describe_top_k = {
        "fn": models.describe_top_k,
        "inputs": [top_k, model, session],
        "outputs": top_k,
        **NO_PROGRESS,
    }
    describe_steering: dict[str, Any] = {
        "fn": models.describe_steering,
        "inputs": [like, model, session],
        "outputs": [like, settings.steering_note],
        "preprocess": False,  # the choices may be those of another model still
        **NO_PROGRESS,
    }
    refresh: dict[str, Any] = {
        "fn": models.refresh,
        "inputs": [model, session],
        "outputs": model,
        **NO_PROGRESS,
    }
    upload: dict[str, Any] = {
        "fn": models.upload,
        "inputs": [settings.upload, session],
        "outputs": model,
        "api_name": "upload_prior_model",
    }
    changes = [
        entered,
        settings.refresh.click(**refresh),
        settings.upload.upload(**upload),
    ]
    for event in changes:
        event.then(**describe_choice).then(**describe_steering)
    for tab in open_tab():
        tab.select(**refresh).then(**describe_choice)
    model.change(**describe_choice).then(**describe_top_k).then(**describe_steering)
    top_k.change(**describe_top_k)


def open_tab() -> Iterator[gr.Tab]:
    """The `gr.Tab` that is being built, or nothing outside of a tab."""
    block = Context.block
    while block is not None and not isinstance(block, gr.Tab):
        block = block.parent
    if block is not None:
        yield block


def _connect_settings(settings: SettingsPanel) -> None:
    prompt, start = settings.controls["prompt"], settings.controls["start"]
    prompt.change(_label_prompt, prompt, settings.prompt_accordion, **NO_PROGRESS)
    start.change(
        lambda start: gr.Slider(visible=start == "vary"),
        start,
        settings.controls["vary"],
        **NO_PROGRESS,
    )
    steer = settings.controls["steer"]
    for name in DESCRIPTOR_LABELS:
        js = f"(names) => [names.includes('{name}') ? names : [...names, '{name}']]"
        settings.controls[name].input(None, steer, steer, js=js)
    settings.randomize.click(_random_seed, None, settings.controls["seed"], **NO_PROGRESS)


def _connect_generation(
    maker: TakeMaker, session: gr.State, settings: SettingsPanel, take: TakePanel, bar: Bar
) -> None:
    def make(*given: Any) -> list[Any]:
        key, *values, count, session, request, progress = given
        try:
            maker.make_takes(key, values, count, session, request.session_hash, progress)
        except gr.Error as error:
            session.error = error.message
            error.visible = False  # because the bar shows it
            raise
        shown = show_take(session.last_number, session)  # while the takes are being saved
        maker.saver.wait(session)
        return [*shown, STATUS_DONE.format(session.last_number)]

    def longer_values(number: Any, session: Session) -> list[Any]:
        return page_values(number, session, maker.models, longer=True)

    def stop(session: Session, request: gr.Request) -> list[Any]:
        maker.stop(request.session_hash)
        return show_board(session)

    name_parameters(make, "model", *SETTINGS, "count")
    controls = [settings.model, *settings.controls.values()]
    generate_event: dict[str, Any] = {
        "fn": make,
        "inputs": [*controls, settings.count, session],
        "outputs": [*take.take_outputs, bar.status],
        "preprocess": False,  # Gradio's own messages do not name the control
        "show_progress_on": bar.status,
        "concurrency_id": "distill-prior",
        "concurrency_limit": 1,
    }
    edits = connect_board(maker, session, settings, take, bar)
    settings.controls["seed"].submit(None, js=CLICK_GENERATE)
    made = bar.generate.click(**generate_event, api_name="generate_prior_take")
    lengthened = take.longer.click(longer_values, [take.takes, session], controls, **NO_PROGRESS)
    made_longer = lengthened.success(**generate_event, api_name=False)
    for event in (made, made_longer):
        event.failure(show_error, session, bar.status, **NO_PROGRESS)
    bar.cancel.click(
        stop,
        session,
        take.take_outputs,
        queue=False,
        cancels=[made, made_longer, *edits],
        **NO_PROGRESS,
    )


def _connect_takes(
    models: ModelList, session: gr.State, settings: SettingsPanel, take: TakePanel
) -> None:
    def restore(number: Any, session: Session) -> list[Any]:
        return page_values(number, session, models)

    controls = [settings.model, *settings.controls.values()]
    take.restore.click(restore, [take.takes, session], controls, **NO_PROGRESS)
    take.repeat.change(None, take.repeat, None, js="(repeat) => window.distillPrior.repeat(repeat)")
    later = f"() => new Promise((end) => setTimeout(() => end('{COPY_LABEL}'), 2000))"
    for js in ("(text) => window.distillPrior.copy(text)", later):
        take.copy.click(None, take.command, take.copy, js=js)


def _connect_export(exporter: TakeExporter, session: gr.State, take: TakePanel) -> None:
    # Gradio names the parameters of the endpoint after those of this function. A client may leave
    # out those with a default.
    def export_take(
        number: Any,
        format: Any,
        sample_rate: Any,
        bit_depth: Any,
        title: Any = None,
        artist: Any = None,
        album: Any = None,
        loudness: Any = None,
        session: Any = None,
    ) -> tuple[gr.File, str]:
        values = [format, sample_rate, bit_depth, title, artist, album, loudness]
        copies, text = exporter.export(number, values, session)
        return gr.File(copies, visible=True), text

    def download_take(number: Any, *values_and_session: Any) -> list[str]:
        *values, session = values_and_session
        return exporter.download(number, values, session)

    export = take.export
    format_, _, depth, *_ = export.values
    format_.change(build_bit_depth, format_, depth, **NO_PROGRESS)
    limits: dict[str, Any] = {"concurrency_id": "distill-prior-export", "concurrency_limit": 1}
    export.button.click(
        export_take,
        [take.takes, *export.values, session],
        [export.files, export.message],
        preprocess=False,
        show_progress_on=export.message,
        api_name="export_prior_take",
        **limits,
    )
    downloaded = take.download.click(
        download_take,
        [take.takes, *export.values, session],
        take.downloads,
        preprocess=False,
        **limits,
        **NO_PROGRESS,
    )
    js = "(files) => window.distillPrior.download(files)"
    downloaded.success(None, take.downloads, None, js=js)


def _label_prompt(prompt: str | None) -> gr.Accordion:
    """Name the sound in the accordion's label, which is visible when it is closed."""
    return gr.Accordion(label=f"{PROMPT_LABEL}: {Path(prompt).name}" if prompt else PROMPT_LABEL)


def _random_seed() -> str:
    from distill_prior_gen.sampling.random_streams import new_seed

    return str(new_seed())
