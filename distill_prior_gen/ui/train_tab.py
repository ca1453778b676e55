"""The tab Train model: from recordings to a model that can be played, without a terminal.

This module connects the components of `train_controls` with the functions of `trainer` and
`train_view`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
import soundfile
from gradio.context import Context

# Gradio has no public functions for this; both are private and may change.
from gradio.processing_utils import save_file_to_cache
from gradio.utils import get_upload_folder

from distill_prior_gen.hookspecs import TabContext
from distill_prior_gen.training.previews import preview_folder
from distill_prior_gen.ui import library
from distill_prior_gen.ui.board_events import NO_PROGRESS
from distill_prior_gen.ui.controls import MODEL_ID, refuse_urls
from distill_prior_gen.ui.model_list import ModelList
from distill_prior_gen.ui.session import Session
from distill_prior_gen.ui.tab import open_tab
from distill_prior_gen.ui.train_controls import (
    RecordingsPanel,
    RunPanel,
    StartPanel,
    build_recordings_panel,
    build_run_panel,
    build_start_panel,
)
from distill_prior_gen.ui.train_view import (
    describe_plan,
    describe_recording,
    newest_previews,
    show_curves,
    show_progress,
    show_result,
    show_verdicts,
)
from distill_prior_gen.ui.trainer import Material, Trainer
from distill_prior_gen.ui.training_jobs import DONE, RUNNING, STOPPED, WAITING, Job

PERIOD_S = 2.0
"""Seconds from one look at a training to the next."""

STYLE = Path(__file__).parent / "train.css"


def build_train_tab(context: TabContext) -> None:
    """Build the tab's components and events into the open `gr.Blocks`."""
    trainer = Trainer(context)
    with gr.Column(elem_id="distill-train") as column:
        gr.HTML(
            f"<style>{STYLE.read_text(encoding='utf-8')}</style>", elem_id="distill-train-style"
        )
        with gr.Row():
            with gr.Column(scale=2, min_width=340):
                recordings = build_recordings_panel(trainer.folder_names())
                start = build_start_panel()
            with gr.Column(scale=3, min_width=340):
                run = build_run_panel()
    refuse_urls(column)
    material, own, ready = gr.State(Material()), gr.State(""), gr.State("")
    _connect_recordings(trainer, material, recordings, start)
    _connect_trainings(trainer, material, recordings, start, run, own, ready)
    _connect_prior_tab(context, ready)


def _connect_recordings(
    trainer: Trainer, material: gr.State, panel: RecordingsPanel, start: StartPanel
) -> None:
    def upload(paths: Any, progress: gr.Progress = gr.Progress()) -> list[Any]:  # noqa: B008
        return _show_material(trainer, trainer.open_uploads(paths, progress), "")

    def open_folder(key: Any, progress: gr.Progress = gr.Progress()) -> list[Any]:  # noqa: B008
        if not key:
            return _show_material(trainer, Material(), "")
        found = trainer.open_folder(key, progress)
        return _show_material(trainer, found, found.name)

    def listen(name: Any, material: Material) -> gr.Audio:
        if not name:
            return gr.Audio(None, visible=False)
        return gr.Audio(trainer.listen(name, material), label=name, visible=True)

    shown = [material, panel.ticked, panel.heard, panel.player, start.name]
    inspecting: dict[str, Any] = {"show_progress_on": panel.upload, "api_name": False}
    panel.upload.change(upload, panel.upload, shown, **inspecting)
    panel.folder.input(open_folder, panel.folder, shown, **inspecting)
    panel.heard.input(listen, [panel.heard, material], panel.player, **NO_PROGRESS)
    plan: dict[str, Any] = {
        "fn": partial(_plan, trainer),
        "inputs": [material, panel.ticked, start.epochs, start.prior_epochs, start.stages],
        "outputs": [start.plan, start.train],
        **NO_PROGRESS,
    }
    for component in plan["inputs"]:
        component.change(**plan)


def _show_material(trainer: Trainer, material: Material, name: str) -> list[Any]:
    """Updates that show recordings; the name of the model follows that of their folder."""
    recordings = material.recordings
    choices = [(describe_recording(item), item.name) for item in recordings]
    usable = [item.name for item in recordings if item.usable]
    return [
        material,
        gr.CheckboxGroup(choices, value=usable, visible=bool(choices)),
        gr.Dropdown(usable, value=None, visible=bool(usable)),
        gr.Audio(None, visible=False),
        gr.Textbox(trainer.free_name(name)) if name else gr.skip(),
    ]


def _plan(
    trainer: Trainer,
    material: Material,
    ticked: Sequence[str],
    epochs: int | None,
    prior_epochs: int | None,
    stages: Sequence[str],
) -> tuple[str, gr.Button]:
    if epochs is None or prior_epochs is None:
        return "The numbers of epochs are missing.", gr.Button(interactive=False)
    settings = epochs, prior_epochs, stages
    text, possible = describe_plan(material.recordings, ticked, *settings, trainer.costs)
    return text, gr.Button(interactive=possible)


def _connect_trainings(
    trainer: Trainer,
    material: gr.State,
    recordings: RecordingsPanel,
    start: StartPanel,
    run: RunPanel,
    own: gr.State,
    ready: gr.State,
) -> None:
    timer, shown = gr.Timer(PERIOD_S, active=False), gr.State({})

    def train(
        material: Material,
        ticked: Any,
        epochs: int,
        prior_epochs: int,
        stages: Any,
        name: str,
        source: str,
    ) -> tuple[str, str]:
        job = trainer.start(material, ticked, name, (epochs, prior_epochs), stages, source)
        return str(job.output), trainer.free_name(job.output.stem)

    def resume(name: Any, material: Material, ticked: Any) -> str:
        return str(trainer.resume(name, material, ticked).output)

    def watch(own: str, shown: dict[str, Any]) -> list[Any]:
        return [*_watch(trainer, shown), _ready(trainer, own), shown]

    def choices() -> gr.Dropdown:
        models = library.find_models(trainer.context.models_dirs)
        playable = [(model.label, key) for key, model in models.items() if not model.reason]
        return gr.Dropdown([("None: begin anew", ""), *playable])

    look: dict[str, Any] = {
        "fn": watch,
        "inputs": [own, shown],
        "outputs": [*run.outputs, start.resuming, start.unfinished, timer, ready, shown],
        **NO_PROGRESS,
    }
    inputs = [material, recordings.ticked, start.epochs, start.prior_epochs, start.stages]
    inputs += [start.name, start.source]
    ticked = recordings.ticked
    start.train.click(train, inputs, [own, start.name], **NO_PROGRESS).success(**look)
    resumed = [start.unfinished, material, ticked]
    start.resume.click(resume, resumed, own, **NO_PROGRESS).success(**look)
    run.stop.click(trainer.stop, None, None, **NO_PROGRESS)
    run.remove.click(trainer.remove, run.waiting, None, **NO_PROGRESS).success(**look)
    timer.tick(**look)
    for event in (gr.on(None, **look), *(tab.select(**look) for tab in open_tab())):
        event.then(choices, None, start.source, **NO_PROGRESS)


def _watch(trainer: Trainer, shown: dict[str, Any]) -> list[Any]:
    """Updates of the components that show the trainings.

    Args:
        trainer: the trainings.
        shown: what the page has been shown. Players and lists are updated only if it changes.
    """
    job = trainer.shown_job()
    jobs = trainer.queue.jobs
    status = job.status if job else {}
    previews = newest_previews(preview_folder(job.output)) if job else {}
    ended = job is not None and job.state in (DONE, STOPPED)
    return [
        show_progress(job, trainer.message(job) if job else ""),
        gr.Button(visible=job is not None and job.state == RUNNING),
        *_names(trainer.waiting(), "waiting", shown),
        show_verdicts(status),
        show_curves(status),
        *(_player(kind, previews.get(kind), shown) for kind in ("original", "copy", "take")),
        show_result(job.result) if job else "",
        _files(job if ended else None, shown),
        *_names(trainer.unfinished(), "unfinished", shown),
        gr.Timer(active=any(other.state in (WAITING, RUNNING) for other in jobs)),
    ]


def _names(names: list[str], kind: str, shown: dict[str, Any]) -> list[Any]:
    """Updates of a row, which is hidden if there are no names, and of the list in it."""
    if shown.get(kind) == names:
        return [gr.skip(), gr.skip()]
    shown[kind] = names
    return [gr.Row(visible=bool(names)), gr.Dropdown(names, value=next(iter(names), None))]


def _player(kind: str, path: Path | None, shown: dict[str, Any]) -> Any:
    key = str(path)
    if shown.get(kind) == key:
        return gr.skip()
    shown[kind] = key
    if path is None:
        return gr.Audio(None, visible=False)
    samples, rate = soundfile.read(path, dtype="int16")
    return gr.Audio((rate, samples), visible=True)


def _files(job: Job | None, shown: dict[str, Any]) -> Any:
    paths = [Path(job.result[name]) for name in ("card", "picture")] if job and job.result else []
    key = str(job and id(job))
    if shown.get("files") == key:
        return gr.skip()
    shown["files"] = key
    copies = [save_file_to_cache(path, get_upload_folder()) for path in paths if path.exists()]
    return gr.File(copies or None, visible=bool(copies))


def _ready(trainer: Trainer, own: str) -> str:
    """The model that this page has trained, as soon as it can be played, else ""."""
    jobs = [job for job in trainer.queue.jobs if str(job.output) == own]
    done = jobs and jobs[-1].state in (DONE, STOPPED) and jobs[-1].result.get("prior")
    return str(jobs[-1].result["path"]) if done else ""


def _connect_prior_tab(context: TabContext, ready: gr.State) -> None:
    """Choose a model in the Prior tab of the page that has trained it, if there is that tab."""
    blocks = Context.root_block.blocks.values() if Context.root_block else ()
    model = next((b for b in blocks if getattr(b, "elem_id", None) == MODEL_ID), None)
    states = (block for block in blocks if isinstance(block, gr.State))
    session = next((state for state in states if isinstance(state.value, Session)), None)
    if model is None or session is None:
        return
    models = ModelList(context)

    def choose(path: str, key: Any, session: Session) -> Any:
        if not path:
            return gr.skip()
        found = library.find_models(context.models_dirs)
        keys = [key for key, entry in found.items() if str(entry.path) == path]
        return models.show(keys[0] if keys else key, session)

    ready.change(choose, [ready, model, session], model, **NO_PROGRESS)
