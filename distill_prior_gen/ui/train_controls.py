"""The components of the tab Train model, in the order in which they stand on the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from distill_prior_gen.training.settings import TRAINING_LIMITS, PriorSettings, VQVAESettings

LOWEST_EPOCHS, HIGHEST_EPOCHS = TRAINING_LIMITS["epochs"]


@dataclass(frozen=True)
class RecordingsPanel:
    """The components that recordings are chosen with.

    Attributes:
        ticked: the list of recordings, with a tick for each that is trained on.
        heard: name of the recording that the player plays.
    """

    upload: gr.File
    folder: gr.Dropdown
    ticked: gr.CheckboxGroup
    heard: gr.Dropdown
    player: gr.Audio


@dataclass(frozen=True)
class StartPanel:
    """The components that a training is started with.

    Attributes:
        stages: stages that may be left out.
        source: model to begin with, or "".
        plan: says what will happen.
        unfinished: models whose training can go on.
        resuming: the row with it, which is hidden if there is none.
    """

    name: gr.Textbox
    epochs: gr.Number
    prior_epochs: gr.Number
    stages: gr.CheckboxGroup
    source: gr.Dropdown
    plan: gr.Markdown
    train: gr.Button
    unfinished: gr.Dropdown
    resume: gr.Button
    resuming: gr.Row


@dataclass(frozen=True)
class RunPanel:
    """The components that show how a training goes.

    Attributes:
        queueing: the row with the trainings that wait, which is hidden if there is none.
        original, copy, take: previews.
        files: model card and picture.
    """

    progress: gr.HTML
    stop: gr.Button
    queueing: gr.Row
    waiting: gr.Dropdown
    remove: gr.Button
    verdicts: gr.Markdown
    curves: gr.HTML
    original: gr.Audio
    copy: gr.Audio
    take: gr.Audio
    result: gr.Markdown
    files: gr.File

    @property
    def outputs(self) -> list[Any]:
        """All components but the button of the queue."""
        return [component for name, component in vars(self).items() if name != "remove"]


def build_recordings_panel(folders: list[str]) -> RecordingsPanel:
    """Build the components that recordings are chosen with.

    Args:
        folders: names of the server's folders that can be chosen.
    """
    upload = gr.File(label="Recordings: 5 to 500 sound files", file_count="multiple", height=160)
    folder = gr.Dropdown(
        [("None", ""), *((name, name) for name in folders)],
        value="",
        label="or a folder",
        visible=bool(folders),
    )
    ticked = gr.CheckboxGroup(
        [],
        label="Train on",
        info="Remove a tick to leave a recording out.",
        visible=False,
        elem_id="distill-train-recordings",
    )
    heard = gr.Dropdown([], label="Listen to", visible=False, interactive=True)
    player = gr.Audio(label="Recording", visible=False, interactive=False)
    return RecordingsPanel(upload, folder, ticked, heard, player)


def build_start_panel() -> StartPanel:
    """Build the components that a training is started with."""
    name = gr.Textbox(label="Name of the model", placeholder="my-recordings", max_length=80)
    with gr.Accordion("Options", open=False):
        with gr.Row():
            epochs = _epochs("Epochs", VQVAESettings.epochs)
            prior_epochs = _epochs("Epochs of the prior, at most", PriorSettings.epochs)
        stages = gr.CheckboxGroup(
            [("Timeline prior", "timeline"), ("Vocoder", "vocoder")],
            value=["timeline", "vocoder"],
            label="Train as well",
            info="Takes hold together over seconds with the first, and sound better with the "
            "second.",
        )
        source = gr.Dropdown(
            [("None: begin anew", "")],
            value="",
            label="Continue from a model",
            info="Begins with what it has learned. It is not changed.",
        )
    plan = gr.Markdown()
    train = gr.Button("Train", variant="primary", interactive=False)
    with gr.Row(visible=False, equal_height=True) as resuming:
        unfinished = gr.Dropdown([], label="Stopped trainings", interactive=True)
        resume = gr.Button("Resume")
    return StartPanel(
        name, epochs, prior_epochs, stages, source, plan, train, unfinished, resume, resuming
    )


def _epochs(label: str, value: int) -> gr.Number:
    return gr.Number(value, label=label, precision=0, minimum=LOWEST_EPOCHS, maximum=HIGHEST_EPOCHS)


def build_run_panel() -> RunPanel:
    """Build the components that show how a training goes."""
    progress = gr.HTML()
    stop = gr.Button("Stop and keep the best", visible=False)
    with gr.Row(visible=False, equal_height=True) as queueing:
        waiting = gr.Dropdown([], label="Waiting trainings", interactive=True)
        remove = gr.Button("Remove from the queue")
    verdicts = gr.Markdown()
    curves = gr.HTML()
    original, copy, take = (
        gr.Audio(label=label, visible=False, interactive=False)
        for label in ("A recording", "The same, as the model hears it", "A take")
    )
    result = gr.Markdown()
    files = gr.File(label="Model card and picture", visible=False, interactive=False)
    return RunPanel(
        progress, stop, queueing, waiting, remove, verdicts, curves, original, copy, take, result,
        files,
    )  # fmt: skip
