"""What the tab Train model does: inspect recordings, start, stop and resume trainings."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from reprlib import repr as shortened
from typing import Any

import gradio as gr

from distill_prior_gen.audio.decoding import RecordingError
from distill_prior_gen.audio.recordings import read_mono
from distill_prior_gen.hookspecs import TabContext
from distill_prior_gen.training.data import MAX_FILES
from distill_prior_gen.training.inspection import RATE, InspectedRecording, inspect_recordings
from distill_prior_gen.training.previews import preview_folder
from distill_prior_gen.training.resuming import SUFFIX, checkpoint_path
from distill_prior_gen.training.speed import measure_chunk_costs
from distill_prior_gen.ui import library
from distill_prior_gen.ui.page_messages import explain, refusal
from distill_prior_gen.ui.recording_folders import files_in, find_folders, gather, name_uploads
from distill_prior_gen.ui.training_jobs import RUNNING, STOPPED, WAITING, Job, TrainingQueue

MODEL_NAME = re.compile(r"\w[\w .()+-]{0,79}")
PREVIEWS = 8
"""Number of previews of the first stage."""

LISTENED_S = 60
"""Seconds of a recording that can be heard."""

STAGES = ("timeline", "vocoder")
"""Stages that may be left out."""


@dataclass
class Material:
    """The recordings that a browser session has chosen.

    Attributes:
        name: name of their folder, "" for uploads.
    """

    recordings: list[InspectedRecording] = field(default_factory=list)
    name: str = ""

    def get(self, name: Any) -> InspectedRecording:
        """The recording of a name from the page.

        Raises:
            gr.Error: if there is none.
        """
        for recording in self.recordings:
            if recording.name == name:
                return recording
        raise refusal(f"There is no recording {shortened(name)}; choose one from the list.")


class Trainer:
    """The trainings of an app. All browser sessions see the same ones.

    Attributes:
        costs: result of `measure_chunk_costs`, or {} until recordings have been chosen.
    """

    def __init__(self, context: TabContext) -> None:
        self.costs: dict[str, float] = {}
        self.context = context
        self.queue = TrainingQueue()

    @cached_property
    def _files(self) -> tempfile.TemporaryDirectory[str]:
        return tempfile.TemporaryDirectory(prefix="distill-prior-recordings-")

    def folder_names(self) -> list[str]:
        """Names of the server's folders with recordings that can be chosen."""
        return list(find_folders(self.context.recordings_dirs))

    def open_folder(self, key: Any, progress: gr.Progress) -> Material:
        """Inspect the recordings in one of the server's folders.

        Raises:
            gr.Error: if the folder is not in the list.
        """
        folder = find_folders(self.context.recordings_dirs).get(key)
        if folder is None:
            raise refusal(f"There is no folder {shortened(key)}; choose one from the list.")
        return self._inspect(files_in(folder), folder.resolve().name, progress)

    def open_uploads(self, paths: Sequence[str] | None, progress: gr.Progress) -> Material:
        """Inspect uploaded recordings."""
        return self._inspect(name_uploads(map(Path, paths or ())), "", progress)

    def _inspect(self, files: dict[str, Path], name: str, progress: gr.Progress) -> Material:
        if len(files) > MAX_FILES:
            raise refusal(f"These are {len(files)} recordings; choose at most {MAX_FILES}.")
        found = inspect_recordings(files, lambda x, text: progress(x, desc=text))
        if found and not self.costs:
            progress(1.0, desc="Measuring the speed of this machine...")
            self.costs = measure_chunk_costs(self.context.device)
        return Material(found, name)

    def listen(self, name: Any, material: Material) -> tuple[int, Any]:
        """Sample rate and samples of the beginning of a recording."""
        recording = material.get(name)
        try:
            samples = read_mono(recording.path, RATE, LISTENED_S).numpy()
        except RecordingError as error:
            raise refusal(f"{recording.name} {error.reason}") from error
        return RATE, (samples.clip(-1, 1) * 32_767).astype("int16")

    @property
    def folder(self) -> Path:
        """The folder that models are written to."""
        return self.context.models_dirs[0]

    def free_name(self, name: str) -> str:
        """A name for a model that does not exist yet, the given one if possible."""
        free, number = name, 2
        while self._is_taken(self.folder / f"{free}.distill"):
            free, number = f"{name}-{number}", number + 1
        return free

    def _is_taken(self, output: Path) -> bool:
        files = (*(output.with_suffix(suffix) for suffix in (".distill", ".md", ".png")),)
        files += checkpoint_path(output), preview_folder(output)
        return self._waits(output) or any(map(os.path.lexists, files))

    def _waits(self, output: Path) -> bool:
        states = (WAITING, RUNNING)
        return any(job.output == output and job.state in states for job in self.queue.jobs)

    def start(
        self,
        material: Material,
        ticked: Sequence[str],
        name: str,
        epochs: tuple[int, int],
        more_stages: Sequence[str],
        source: str,
    ) -> Job:
        """Put a training into the queue.

        Args:
            material: the recordings.
            ticked: names of those to train on.
            name: name of the model.
            epochs: numbers of epochs of the VQ-VAE and of the prior.
            more_stages: those of `STAGES` that are not left out.
            source: identifier of the model to begin with, or "".

        Raises:
            gr.Error: if the name is taken or unsuitable, or there is no such model.
        """
        name = (name or "").strip().removesuffix(".distill")
        if not MODEL_NAME.fullmatch(name):
            raise refusal(
                "The name of the model must begin with a letter or digit, and consist of letters, "
                "digits, spaces and . ( ) + - _, at most 80 of them."
            )
        if (free := self.free_name(name)) != name:
            raise refusal(f"There is a model {name} already; {free} would be a free name.")
        vqvae_epochs, prior_epochs = epochs
        options = ["--epochs", str(vqvae_epochs), "--prior-epochs", str(prior_epochs)]
        options += ["--preview-every", str(max(1, vqvae_epochs // PREVIEWS))]
        options += [f"--no-{stage}" for stage in STAGES if stage not in more_stages]
        options += ["--device", self.context.device]
        if source:
            model = library.find_model(source, self.context.models_dirs)
            if model is None:
                raise refusal(f"There is no model {shortened(source)}; choose one from the list.")
            options += ["--from", str(model.path)]
        folder = self._gather(material, ticked, name)
        return self.queue.add(folder, self.folder / f"{name}.distill", options)

    def _gather(self, material: Material, ticked: Sequence[str], name: str) -> Path:
        files = {key: material.get(key).path for key in ticked or ()}
        folder = Path(tempfile.mkdtemp(dir=self._files.name), material.name or name)
        try:
            gather(files, folder)
        except OSError as error:
            raise explain(error, self.context) from error
        return folder

    def unfinished(self) -> list[str]:
        """Names of the models whose training was stopped and can go on."""
        paths = sorted(self.folder.glob(f"[!.]*.distill{SUFFIX}"))
        names = (path.name.removesuffix(f".distill{SUFFIX}") for path in paths)
        return [name for name in names if not self._waits(self.folder / f"{name}.distill")]

    def resume(self, name: Any, material: Material, ticked: Sequence[str]) -> Job:
        """Go on with a training that was stopped.

        It takes the recordings that it began with. If the app was started again since, these are
        the chosen ones, and the training refuses to go on if they are others.

        Raises:
            gr.Error: if there is none of this name, or no recordings are chosen.
        """
        if name not in self.unfinished():
            raise refusal(f"No training of {shortened(name)} can go on; choose one from the list.")
        output = self.folder / f"{name}.distill"
        former = [job for job in self.queue.jobs if job.output == output]
        if not former and not ticked:
            raise refusal(f"Choose the recordings first that the training of {name} began with.")
        folder = former[-1].folder if former else self._gather(material, ticked, name)
        return self.queue.add(folder, output, ["--resume"])

    def stop(self) -> None:
        """End the running training early, and keep the best."""
        if job := self.queue.running:
            job.stop()

    def waiting(self) -> list[str]:
        """Names of the models whose training waits."""
        return [job.output.stem for job in self.queue.jobs if job.state == WAITING]

    def remove(self, name: Any) -> None:
        """Take a training that waits out of the queue.

        Raises:
            gr.Error: if none of this name waits.
        """
        waiting = [job for job in self.queue.jobs if job.state == WAITING]
        job = next((job for job in waiting if job.output.stem == name), None)
        if job is None:
            raise refusal(f"No training of {shortened(name)} waits; choose one from the list.")
        job.stop()

    def shown_job(self) -> Job | None:
        """The training that runs, or the last one that has ended."""
        begun = [job for job in self.queue.jobs if job.state != WAITING]
        return self.queue.running or (begun[-1] if begun else None)

    def message(self, job: Job) -> str:
        """Why a training has ended, without folders that are not shown to other machines."""
        if job.state == STOPPED and job.result:
            further = "; Resume goes on" if checkpoint_path(job.output).exists() else ""
            return f"What it has learned so far is kept{further}."
        text = job.message.replace(str(job.folder), job.folder.name).removeprefix("Error: ")
        return str(explain(ValueError(text), self.context).message)
