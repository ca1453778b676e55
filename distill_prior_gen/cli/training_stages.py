"""The stages of ``distill-prior train``, each of which saves the model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from distill_prior_gen.cli.progress import progress_bar
from distill_prior_gen.config import Progress, partial_progress
from distill_prior_gen.training.saving import save, unused_path
from distill_prior_gen.training.settings import PriorSettings, VocoderSettings, VQVAESettings

if TYPE_CHECKING:
    from distill_prior_gen.training.data import Dataset
    from distill_prior_gen.training.loop import TrainingHistory
    from distill_prior_gen.training.prior import TrainedPrior
    from distill_prior_gen.training.vocoder import TrainedVocoder
    from distill_prior_gen.training.vqvae import TrainedVQVAE


class Settings(NamedTuple):
    """Settings of the three stages of a training."""

    vqvae: VQVAESettings
    prior: PriorSettings
    vocoder: VocoderSettings


@dataclass
class Outcome:
    """Result of the stages of a training.

    Attributes:
        path: the model file.
        vqvae: the trained VQ-VAE.
        prior: the trained prior, or None if Ctrl-C came before there was one to keep.
        vocoder: the trained vocoder, or None if there is none.
        vocoder_skipped: whether Ctrl-C came before there was a vocoder to keep.
        histories: losses of each stage by the name of the loss.
        failure: why the model could not be saved where it should be; empty if it could.
    """

    path: Path
    vqvae: TrainedVQVAE
    prior: TrainedPrior | None = None
    vocoder: TrainedVocoder | None = None
    vocoder_skipped: bool = False
    histories: dict[str, TrainingHistory] = field(default_factory=dict)
    failure: str = ""

    @property
    def interrupted(self) -> bool:
        if self.vocoder and self.vocoder.history.interrupted:
            return True
        return self.vocoder_skipped or self.prior is None or self.prior.history.interrupted


def train_stages(
    dataset: Dataset,
    output: Path,
    settings: Settings,
    with_vocoder: bool,
    device: str,
    force: bool,
    show: bool,
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
        stage = partial_progress(report, 0.0, 0.3)
        vqvae = train_vqvae(dataset, settings.vqvae, device, stage)
        path, failure = save(vqvae_output, lambda p, o: save_model(p, dataset, vqvae, overwrite=o))
        outcome = Outcome(path, vqvae, failure=failure)
        outcome.histories["VQ-VAE, mel error"] = vqvae.history
        if vqvae.history.interrupted:
            return outcome
        stage = partial_progress(report, 0.3, 0.7 if with_vocoder else 1.0)
        _add_prior(outcome, dataset, output, settings.prior, device, force, stage)
        if with_vocoder and outcome.prior and not outcome.prior.history.interrupted:
            stage = partial_progress(report, 0.7, 1.0)
            _add_vocoder(outcome, dataset, settings.vocoder, device, stage)
    return outcome


def _add_prior(
    outcome: Outcome,
    dataset: Dataset,
    output: Path,
    settings: PriorSettings,
    device: str,
    force: bool,
    report: Progress,
) -> None:
    """Train the prior and save the model with it, unless Ctrl-C comes too early."""
    from distill_prior_gen.training.output import save_model
    from distill_prior_gen.training.prior import train_prior

    path, vqvae = outcome.path, outcome.vqvae
    try:
        prior = train_prior(vqvae.vqvae, dataset, settings, device, report)
    except KeyboardInterrupt:
        return
    except (ArithmeticError, MemoryError) as error:
        raise type(error)(f"{error}; {path} holds the VQ-VAE, without a prior") from error
    outcome.prior = prior
    outcome.histories["prior, cross-entropy"] = prior.history
    outcome.path, outcome.failure = save(
        output, lambda p, o: save_model(p, dataset, vqvae, prior, o), force or path == output
    )
    if outcome.path != path:
        path.unlink(missing_ok=True)


def _add_vocoder(
    outcome: Outcome,
    dataset: Dataset,
    settings: VocoderSettings,
    device: str,
    report: Progress,
) -> None:
    """Train the vocoder, and save the model with it if it is better than mel-griffin-lim."""
    from distill_prior_gen.training.output import save_model
    from distill_prior_gen.training.vocoder import train_vocoder

    vqvae, prior = outcome.vqvae, outcome.prior
    try:
        vocoder = train_vocoder(vqvae.vqvae, dataset, settings, device, report)
    except KeyboardInterrupt:
        outcome.vocoder_skipped = True
        return
    except (ArithmeticError, MemoryError, ValueError) as error:
        raise type(error)(f"{error}; {outcome.path} is complete, without a vocoder") from error
    outcome.vocoder = vocoder
    outcome.histories["vocoder, log magnitudes"] = vocoder.history
    if vocoder.better:
        saved = outcome.path
        outcome.path, failure = save(
            saved, lambda p, o: save_model(p, dataset, vqvae, prior, o, vocoder=vocoder), True
        )
        outcome.failure = outcome.failure or failure
