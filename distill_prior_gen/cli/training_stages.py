"""The stages of ``distill-prior train``, each of which saves the model."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from distill_prior_gen.cli.training_plan import Plan, Settings
from distill_prior_gen.cli.training_report import NETWORKS, explain_failure
from distill_prior_gen.config import Progress, partial_progress
from distill_prior_gen.progress import progress_bar
from distill_prior_gen.training.interrupts import defer_signals
from distill_prior_gen.training.saving import save, unused_path
from distill_prior_gen.training.settings import TimelineSettings, VocoderSettings

if TYPE_CHECKING:
    from distill_prior_gen.training.extending import Memory
    from distill_prior_gen.training.loop import TrainingHistory
    from distill_prior_gen.training.prior import TrainedPrior
    from distill_prior_gen.training.timeline import TrainedTimeline
    from distill_prior_gen.training.vocoder import TrainedVocoder
    from distill_prior_gen.training.vqvae import TrainedVQVAE


STAGE_SHARES = (0.18, 0.12, 0.24, 0.44)
"""Share of the time that each stage takes. The rest measures takes."""


@dataclass
class Outcome:
    """Result of the stages of a training.

    Attributes:
        plan: what was to be trained.
        path: the model file.
        vqvae: the trained VQ-VAE.
        prior, timeline, vocoder: the other networks, or None if Ctrl-C came before there was
            anything of them to keep, or if they were not wanted.
        histories: losses of each stage by the name of the loss.
        memory: what the model remembers of the recordings of the one that it began with.
        evaluation: how close takes come to the recordings, or None if it was not measured.
        failure: why the model could not be saved where it should be; empty if it could.
    """

    plan: Plan
    path: Path
    vqvae: TrainedVQVAE
    prior: TrainedPrior | None = None
    timeline: TrainedTimeline | None = None
    vocoder: TrainedVocoder | None = None
    histories: dict[str, TrainingHistory] = field(default_factory=dict)
    memory: Memory | None = None
    evaluation: dict[str, float] | None = None
    failure: str = ""

    def write(self, path: Path, overwrite: bool) -> None:
        """Write the model with the networks that there are; see `save_model`."""
        from distill_prior_gen.training.output import save_model

        save_model(
            path,
            self.plan.dataset,
            self.vqvae,
            self.prior,
            overwrite,
            timeline=self.timeline,
            vocoder=self.vocoder if self.vocoder and self.vocoder.better else None,
            provenance=self.plan.provenance,
            evaluation=self.evaluation,
        )

    @property
    def ended_early(self) -> bool:
        """Whether Ctrl-C ended a stage of which something was kept."""
        return any(history.interrupted for history in self.histories.values())

    @property
    def unfinished(self) -> bool:
        """Whether Ctrl-C left something to train."""
        return self.ended_early or bool(self.missing)

    @property
    def missing(self) -> list[str]:
        """Names of the networks that Ctrl-C left out."""
        return [
            name
            for name in NETWORKS
            if getattr(self.plan.settings, name) and not getattr(self, name)
        ]


def train_stages(plan: Plan, show: bool) -> Outcome:
    """Train the networks, and save the model after each.

    An existing model is replaced only by one with a prior.

    Raises:
        KeyboardInterrupt: if Ctrl-C came before there was anything to save.
    """
    from distill_prior_gen.training.vqvae import train_vqvae

    settings, former = plan.settings, plan.former
    with progress_bar(show) as report:
        report = plan.status.reporting(report) if plan.status else report
        stages = _parts(report, settings)
        initial = former.checkpoint.build_vqvae() if former else None
        known = plan.state.finished("VQ-VAE")
        vqvae = train_vqvae(
            plan.dataset, settings.vqvae, plan.device, stages[0], plan.state, initial
        )
        outcome = Outcome(plan, plan.output, vqvae)
        outcome.histories["VQ-VAE, mel error"] = vqvae.history
        _save_vqvae(outcome, known)
        if plan.previews:
            plan.previews.vqvae = vqvae.vqvae
        if plan.status:
            plan.status.health = vqvae.health
        if former:
            outcome.memory = former.compare(vqvae.vqvae, plan.dataset, plan.state.recordings)
        with suppress(KeyboardInterrupt):  # before there was anything of a stage to keep
            if not outcome.ended_early:
                _add_prior(outcome, stages[1])
            if settings.timeline and not outcome.ended_early:
                _add_timeline(outcome, settings.timeline, stages[2])
            if settings.vocoder and not outcome.ended_early:
                _add_vocoder(outcome, settings.vocoder, stages[3])
            if not outcome.ended_early:
                _measure_takes(outcome, stages[4])
    return outcome


def _parts(report: Progress, settings: Settings) -> list[Progress]:
    """The progress of each stage, and of measuring takes."""
    shares = [share if s else 0.0 for share, s in zip(STAGE_SHARES, settings, strict=True)]
    shares.append(1 - sum(STAGE_SHARES))
    borders = [sum(shares[:number]) / sum(shares) for number in range(len(shares) + 1)]
    return [partial_progress(report, start, end) for start, end in pairwise(borders)]


def _save_vqvae(outcome: Outcome, known: bool) -> None:
    """Save the VQ-VAE, next to a model that has the name already.

    Args:
        known: whether it was trained before the training was stopped, and may be saved already.
    """
    output, own = outcome.plan.output, outcome.plan.is_own
    path = output
    if output.exists() and not own(output):
        path = output.with_name(f"{output.stem}-vqvae.distill")
        path = path if own(path) else unused_path(path)
    outcome.path = path
    if not (known and own(path)):
        outcome.path, outcome.failure = save(path, outcome.write, overwrite=own(path))


def _add_prior(outcome: Outcome, report: Progress) -> None:
    """Train the prior and save the model with it."""
    from distill_prior_gen.training.prior import train_prior

    plan, path, vqvae = outcome.plan, outcome.path, outcome.vqvae.vqvae
    former = plan.former and plan.former.checkpoint
    with explain_failure(f"{path} holds the VQ-VAE, without a prior"):
        initial = former.build_prior() if former and former.prior_state else None
        prior = train_prior(
            vqvae, plan.dataset, plan.settings.prior, plan.device, report, plan.state, initial
        )
    outcome.prior = prior
    if plan.previews:
        plan.previews.prior = prior.prior
    outcome.histories["prior, cross-entropy"] = prior.history
    overwrite = plan.force or path == plan.output
    outcome.path, outcome.failure = save(plan.output, outcome.write, overwrite)
    if outcome.path != path:
        path.unlink(missing_ok=True)


def _add_timeline(outcome: Outcome, settings: TimelineSettings, report: Progress) -> None:
    """Train the timeline prior and save the model with it."""
    from distill_prior_gen.training.timeline import train_timeline

    plan, vqvae = outcome.plan, outcome.vqvae.vqvae
    with explain_failure(f"{outcome.path} is complete, without a timeline prior"):
        initial = plan.former.timeline if plan.former else None
        timeline = train_timeline(
            vqvae, plan.dataset, settings, plan.device, report, plan.state, initial
        )
    outcome.timeline = timeline
    outcome.histories["timeline, cross-entropy"] = timeline.history
    _save_again(outcome)


def _add_vocoder(outcome: Outcome, settings: VocoderSettings, report: Progress) -> None:
    """Train the vocoder, and save the model with it if it is better than mel-griffin-lim."""
    from distill_prior_gen.training.vocoder import train_vocoder

    plan, vqvae = outcome.plan, outcome.vqvae.vqvae
    with explain_failure(f"{outcome.path} is complete, without a vocoder"):
        initial = plan.former.checkpoint.build_vocoder() if plan.former else None
        vocoder = train_vocoder(
            vqvae, plan.dataset, settings, plan.device, report, plan.state, initial
        )
    outcome.vocoder = vocoder
    outcome.histories["vocoder, log magnitudes"] = vocoder.history
    if vocoder.better:
        _save_again(outcome)


def _measure_takes(outcome: Outcome, report: Progress) -> None:
    """Measure how close takes come to the recordings, and save the model with the figures."""
    from distill_prior_gen.evaluation.closeness import measure_takes
    from distill_prior_gen.model import load_model

    dataset, status = outcome.plan.dataset, outcome.plan.status
    if status:
        status.current = ""
    with explain_failure(f"{outcome.path} is complete"), defer_signals() as interruption:
        try:
            with interruption.allowed():
                model = load_model(outcome.path, outcome.plan.device)
                outcome.evaluation = measure_takes(model, dataset, report)
        except KeyboardInterrupt:
            interruption.pending = True
    if outcome.evaluation:
        _save_again(outcome)


def _save_again(outcome: Outcome) -> None:
    """Save the model with the networks that there are by now."""
    outcome.path, failure = save(outcome.path, outcome.write, overwrite=True)
    outcome.failure = outcome.failure or failure
