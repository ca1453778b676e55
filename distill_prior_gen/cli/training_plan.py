"""What `train` is asked for: settings, files, and what it goes on with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from distill_prior_gen.cli.continuing import (
    ANEW,
    check_recordings,
    check_sizes,
    read_former_model,
    shown_command,
)
from distill_prior_gen.cli.training_report import refuse_existing
from distill_prior_gen.cli.training_status import TrainingStatus
from distill_prior_gen.progress import progress_bar
from distill_prior_gen.training.saving import check_space
from distill_prior_gen.training.settings import (
    PriorSettings,
    TimelineSettings,
    VocoderSettings,
    VQVAESettings,
)

if TYPE_CHECKING:
    from torch import nn

    from distill_prior_gen.training.data import Dataset
    from distill_prior_gen.training.extending import FormerModel
    from distill_prior_gen.training.previews import Previews
    from distill_prior_gen.training.provenance import Provenance
    from distill_prior_gen.training.resuming import TrainingState


STAGES = ("VQ-VAE", "prior", "timeline", "vocoder")
"""Names of the stages in the order of `Settings`."""


class Files(NamedTuple):
    """The files of a training."""

    folder: Path
    model: Path

    @property
    def picture(self) -> Path:
        """The picture of the losses."""
        return self.model.with_suffix(".png")

    @property
    def card(self) -> Path:
        """The model card."""
        return self.model.with_suffix(".md")


class Settings(NamedTuple):
    """Settings of the stages of a training; stages without settings are left out."""

    vqvae: VQVAESettings
    prior: PriorSettings
    timeline: TimelineSettings | None
    vocoder: VocoderSettings | None


@dataclass(frozen=True)
class Plan:
    """What is trained, and where to.

    Attributes:
        dataset: the recordings.
        output: the model file.
        settings: settings of the stages.
        device: device to train on.
        force: whether a file at `output` may be replaced if it is not of this training.
        state: how far the training has come.
        provenance: where the model comes from.
        former: the model that the training begins with.
        own: whether files of this training are there already, which may be replaced.
        previews: where previews are written to.
        status: where it is told how the training goes.
    """

    dataset: Dataset
    output: Path
    settings: Settings
    device: str
    force: bool
    state: TrainingState
    provenance: Provenance
    former: FormerModel | None = None
    own: bool = False
    previews: Previews | None = None
    status: TrainingStatus | None = None

    def is_own(self, path: Path) -> bool:
        """Whether a file was written by this training, before it was stopped."""
        from distill_prior_gen.checkpoint.archive import read_file

        try:
            metadata = read_file(path, weights=False).contents["metadata"]
            return bool(metadata["model_id"] == self.provenance.model_id)
        except (OSError, ValueError, KeyError, TypeError):
            return False


def prepare(
    ctx: click.Context,
    files: Files,
    given: dict[str, Any],
    state: TrainingState | None,
    force: bool,
    show: bool,
) -> Plan:
    """Read the recordings, and check that nothing is lost and that there is space on the disk."""
    with progress_bar(show) as report:
        report(0.0, "Loading...")
        from distill_prior_gen.training.data import read_dataset
        from distill_prior_gen.training.provenance import (
            Provenance,
            describe_recordings,
            training_date,
        )
        from distill_prior_gen.training.resuming import (
            TrainingState,
            checkpoint_path,
            recording_digests,
        )

        folder, output = files.folder, files.model
        if not state and not force:
            refuse_existing(output, files.picture, files.card)
        former = None
        if given["source"]:
            former = read_former_model(Path(given["source"]), output)
            check_sizes(ctx, given, former)
        spectrogram = former.checkpoint.spectrogram if former else None
        chunk_duration = former.checkpoint.chunk_duration if former else 1.0
        dataset = read_dataset(folder, spectrogram, chunk_duration, report)
    digests, sha256 = recording_digests(dataset), former.checkpoint.sha256 if former else ""
    if state:
        check_recordings(state, digests, folder)
        if state.options.get("source_sha256") != sha256:
            raise ValueError(f"{given['source']} was changed since the training began; {ANEW}")
    else:
        known = given | {"source_sha256": sha256}
        state = TrainingState(checkpoint_path(output), known, digests, training_date())
    settings = _settings(given, dataset.files, former)
    shown = shown_command(ctx, folder, output, given, dataset)
    recordings = describe_recordings(dataset, folder, digests)
    provenance = Provenance(state.date, shown, given["seed"], recordings)
    plan = Plan(dataset, output, settings, given["device"], force, state, provenance, former)
    plan = replace(plan, own=plan.is_own(output))
    if not force and not plan.own:
        refuse_existing(output, files.picture, files.card)
    _check_space(plan)
    return plan


def observe(plan: Plan, preview_every: int | None, status: Path | None) -> Plan:
    """The same plan with previews and a status file.

    Raises:
        FileExistsError: if there are previews of another training.
    """
    from distill_prior_gen.training.previews import Previews, preview_folder

    dataset, settings, folder = plan.dataset, plan.settings, preview_folder(plan.output)
    if preview_every:
        if not (plan.force or plan.state.stages):
            refuse_existing(folder)
        plan = replace(plan, previews=Previews(folder, dataset, preview_every))
    if status:
        epochs = {name: each.epochs for name, each in zip(STAGES, settings, strict=True) if each}
        seconds = dataset.duration(dataset.training)
        plan = replace(plan, status=TrainingStatus(status, epochs, seconds, dataset.files))

    def epoch_done(
        stage: str,
        train_losses: Sequence[float],
        val_losses: Sequence[float | None],
        network: nn.Module,
    ) -> None:
        if plan.status:
            plan.status.epoch_done(stage, train_losses, val_losses)
        if plan.previews:
            plan.previews.epoch_done(stage, train_losses, val_losses, network)

    plan.state.epoch_done = epoch_done
    return plan


def _settings(given: dict[str, Any], files: int, former: FormerModel | None) -> Settings:
    """Settings of the stages; the sizes of a former model count where it has such a network."""
    sizes = former.sizes if former else {}

    def chosen(stage: str) -> dict[str, Any]:
        prefix = f"{stage}_"
        named = {k.removeprefix(prefix): v for k, v in given.items() if k.startswith(prefix)}
        return {"files": files, "seed": given["seed"], **named, **sizes.get(stage, {})}

    return Settings(
        VQVAESettings.for_files(**chosen("vqvae")),
        PriorSettings.for_files(**chosen("prior")),
        None if given["no_timeline"] else TimelineSettings.for_files(**chosen("timeline")),
        None if given["no_vocoder"] else VocoderSettings.for_files(**chosen("vocoder")),
    )


def _check_space(plan: Plan) -> None:
    """Check that there is space for the model, its checkpoint and its picture on the disk."""
    from distill_prior_gen.training.output import MAX_PICTURE_BYTES, model_bytes
    from distill_prior_gen.training.resuming import CHECKPOINT_MODELS

    # The former file still exists while the next one is written.
    size = model_bytes(plan.dataset, plan.settings.vqvae, plan.settings.prior)
    check_space(plan.output, 2 * (1 + CHECKPOINT_MODELS) * size + MAX_PICTURE_BYTES)
