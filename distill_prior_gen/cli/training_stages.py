"""The stages of ``distill-prior train``, each of which saves the model."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from distill_prior_gen.cli.progress import progress_bar
from distill_prior_gen.cli.training_report import NETWORKS, explain_failure
from distill_prior_gen.config import Progress, partial_progress
from distill_prior_gen.training.saving import save, unused_path
from distill_prior_gen.training.settings import (
    PriorSettings,
    TimelineSettings,
    VocoderSettings,
    VQVAESettings,
)

if TYPE_CHECKING:
    from distill_prior_gen.training.data import Dataset
    from distill_prior_gen.training.loop import TrainingHistory
    from distill_prior_gen.training.prior import TrainedPrior
    from distill_prior_gen.training.timeline import TrainedTimeline
    from distill_prior_gen.training.vocoder import TrainedVocoder
    from distill_prior_gen.training.vqvae import TrainedVQVAE


STAGE_SHARES = (0.18, 0.12, 0.25, 0.45)
"""Share of the time that each stage takes."""


class Settings(NamedTuple):
    """Settings of the stages of a training; stages without settings are left out."""

    vqvae: VQVAESettings
    prior: PriorSettings
    timeline: TimelineSettings | None
    vocoder: VocoderSettings | None


@dataclass
class Outcome:
    """Result of the stages of a training.

    Attributes:
        settings: settings of the stages.
        path: the model file.
        vqvae: the trained VQ-VAE.
        prior, timeline, vocoder: the other networks, or None if Ctrl-C came before there was
            anything of them to keep, or if they were not wanted.
        histories: losses of each stage by the name of the loss.
        failure: why the model could not be saved where it should be; empty if it could.
    """

    settings: Settings
    path: Path
    vqvae: TrainedVQVAE
    prior: TrainedPrior | None = None
    timeline: TrainedTimeline | None = None
    vocoder: TrainedVocoder | None = None
    histories: dict[str, TrainingHistory] = field(default_factory=dict)
    failure: str = ""

    @property
    def ended_early(self) -> bool:
        """Whether Ctrl-C ended a stage of which something was kept."""
        return any(history.interrupted for history in self.histories.values())

    @property
    def missing(self) -> list[str]:
        """Names of the networks that Ctrl-C left out."""
        return [
            name for name in NETWORKS if getattr(self.settings, name) and not getattr(self, name)
        ]


def train_stages(
    dataset: Dataset, output: Path, settings: Settings, device: str, force: bool, show: bool
) -> Outcome:
    """Train the networks, and save the model after each.

    An existing model is replaced only by one with a prior.

    Raises:
        KeyboardInterrupt: if Ctrl-C came before there was anything to save.
    """
    from distill_prior_gen.training.output import save_model
    from distill_prior_gen.training.vqvae import train_vqvae

    vqvae_output = output
    if output.exists():
        vqvae_output = unused_path(output.with_name(f"{output.stem}-vqvae.distill"))
    with progress_bar(show) as report:
        stages = _parts(report, settings)
        vqvae = train_vqvae(dataset, settings.vqvae, device, stages[0])
        path, failure = save(vqvae_output, lambda p, o: save_model(p, dataset, vqvae, overwrite=o))
        outcome = Outcome(settings, path, vqvae, failure=failure)
        outcome.histories["VQ-VAE, mel error"] = vqvae.history
        with suppress(KeyboardInterrupt):  # before there was anything of a stage to keep
            if not outcome.ended_early:
                _add_prior(outcome, dataset, output, device, force, stages[1])
            if settings.timeline and not outcome.ended_early:
                _add_timeline(outcome, dataset, settings.timeline, device, stages[2])
            if settings.vocoder and not outcome.ended_early:
                _add_vocoder(outcome, dataset, settings.vocoder, device, stages[3])
    return outcome


def _parts(report: Progress, settings: Settings) -> list[Progress]:
    """The progress of each stage."""
    shares = [share if s else 0.0 for share, s in zip(STAGE_SHARES, settings, strict=True)]
    borders = [sum(shares[:number]) / sum(shares) for number in range(len(shares) + 1)]
    return [partial_progress(report, start, end) for start, end in pairwise(borders)]


def _add_prior(
    outcome: Outcome, dataset: Dataset, output: Path, device: str, force: bool, report: Progress
) -> None:
    """Train the prior and save the model with it."""
    from distill_prior_gen.training.output import save_model
    from distill_prior_gen.training.prior import train_prior

    path, vqvae = outcome.path, outcome.vqvae
    with explain_failure(f"{path} holds the VQ-VAE, without a prior"):
        prior = train_prior(vqvae.vqvae, dataset, outcome.settings.prior, device, report)
    outcome.prior = prior
    outcome.histories["prior, cross-entropy"] = prior.history
    outcome.path, outcome.failure = save(
        output, lambda p, o: save_model(p, dataset, vqvae, prior, o), force or path == output
    )
    if outcome.path != path:
        path.unlink(missing_ok=True)


def _add_timeline(
    outcome: Outcome, dataset: Dataset, settings: TimelineSettings, device: str, report: Progress
) -> None:
    """Train the timeline prior and save the model with it."""
    from distill_prior_gen.training.timeline import train_timeline

    with explain_failure(f"{outcome.path} is complete, without a timeline prior"):
        timeline = train_timeline(outcome.vqvae.vqvae, dataset, settings, device, report)
    outcome.timeline = timeline
    outcome.histories["timeline, cross-entropy"] = timeline.history
    _save_again(outcome, dataset)


def _add_vocoder(
    outcome: Outcome, dataset: Dataset, settings: VocoderSettings, device: str, report: Progress
) -> None:
    """Train the vocoder, and save the model with it if it is better than mel-griffin-lim."""
    from distill_prior_gen.training.vocoder import train_vocoder

    with explain_failure(f"{outcome.path} is complete, without a vocoder"):
        vocoder = train_vocoder(outcome.vqvae.vqvae, dataset, settings, device, report)
    outcome.vocoder = vocoder
    outcome.histories["vocoder, log magnitudes"] = vocoder.history
    if vocoder.better:
        _save_again(outcome, dataset)


def _save_again(outcome: Outcome, dataset: Dataset) -> None:
    """Save the model with the networks that there are by now."""
    from distill_prior_gen.training.output import save_model

    def write(path: Path, overwrite: bool) -> None:
        save_model(
            path,
            dataset,
            outcome.vqvae,
            outcome.prior,
            overwrite,
            timeline=outcome.timeline,
            vocoder=outcome.vocoder,
        )

    outcome.path, failure = save(outcome.path, write, overwrite=True)
    outcome.failure = outcome.failure or failure
