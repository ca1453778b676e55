"""``distill-prior train-prior``: priors for a model file that has a VQ-VAE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from distill_prior_gen.cli.adding_networks import (
    ExtendedModel,
    Request,
    Summary,
    add_networks,
    request_options,
)
from distill_prior_gen.cli.training_options import (
    PRIOR_OPTIONS,
    setting_options,
    timeline_stage_options,
)
from distill_prior_gen.cli.training_report import (
    explain_failure,
    plot_or_note,
    prior_notes,
    prior_result,
    timeline_notes,
    timeline_result,
)
from distill_prior_gen.config import Progress, partial_progress
from distill_prior_gen.training.settings import PriorSettings, TimelineSettings

if TYPE_CHECKING:
    from distill_prior_gen.networks.vqvae import VQVAE
    from distill_prior_gen.training.prior import TrainedPrior
    from distill_prior_gen.training.timeline import TrainedTimeline

PRIOR_SHARE = 0.3
"""Share of the time that the prior of single seconds takes."""


@click.command("train-prior")
@setting_options(PRIOR_OPTIONS)
@timeline_stage_options
@request_options("prior")
def train_prior(
    request: Request, /, no_timeline: bool, timeline_epochs: int | None, **given: Any
) -> None:
    """Train priors for MODEL on the recordings in FOLDER, and put them into the file.

    MODEL is a .distill file with a VQ-VAE, of this package or of the Distill app. Everything
    else in it stays as it is. A prior of single seconds is trained first, and then a timeline
    prior, which remembers seconds of a take. Next to MODEL, NAME-prior.png shows how the training
    went. Ctrl-C ends a training early and keeps what it has learned.
    """
    picture = request.model.with_name(f"{request.model.stem}-prior.png")
    networks = ["prior"] if no_timeline else ["prior", "timeline"]

    def train(model: ExtendedModel, report: Progress) -> Summary:
        files, seed = model.dataset.files, request.seed
        settings = PriorSettings.for_files(files, seed=seed, **given)
        timeline_settings = None
        if not no_timeline:
            timeline_settings = TimelineSettings.for_files(files, seed=seed, epochs=timeline_epochs)
        vqvae = model.checkpoint.build_vqvae()
        prior, timeline = _train(model, vqvae, settings, timeline_settings, request.device, report)
        histories = {"prior, cross-entropy": prior.history}
        if timeline:
            histories["timeline, cross-entropy"] = timeline.history
        missing = ["timeline"] if timeline_settings and not timeline else []
        kept = ""
        if any(history.interrupted for history in histories.values()):
            kept = "what was learned so far is kept"
        elif missing:
            kept = "the prior is complete"
        notes = [
            *prior_notes(prior),
            *(timeline_notes(timeline) if timeline else []),
            *plot_or_note(picture, model.dataset, vqvae, histories, request.force),
        ]
        result = {
            "picture": str(picture),
            "prior": prior_result(prior),
            "timeline": timeline_result(timeline) if timeline else None,
        }
        return Summary(notes, result, kept, missing)

    add_networks(request, networks, train, [picture])


def _train(
    model: ExtendedModel,
    vqvae: VQVAE,
    settings: PriorSettings,
    timeline_settings: TimelineSettings | None,
    device: str,
    report: Progress,
) -> tuple[TrainedPrior, TrainedTimeline | None]:
    """Train the priors, and add each to the model; without the second if Ctrl-C comes first."""
    from distill_prior_gen.checkpoint.timeline import timeline_entries
    from distill_prior_gen.checkpoint.writing import prior_entries
    from distill_prior_gen.training.prior import train_prior
    from distill_prior_gen.training.timeline import train_timeline

    first = partial_progress(report, 0.0, PRIOR_SHARE if timeline_settings else 1.0)
    prior = train_prior(vqvae, model.dataset, settings, device, first)
    model.add(prior_entries(prior.prior, prior.metadata))
    if timeline_settings is None or prior.history.interrupted:
        return prior, None
    second = partial_progress(report, PRIOR_SHARE, 1.0)
    try:
        with explain_failure(f"{model.path} has the prior, without another timeline prior"):
            timeline = train_timeline(vqvae, model.dataset, timeline_settings, device, second)
    except KeyboardInterrupt:
        return prior, None
    model.add(timeline_entries(timeline.network, timeline.metadata))
    return prior, timeline
