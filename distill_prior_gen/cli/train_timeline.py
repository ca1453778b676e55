"""``distill-prior train-timeline``: a prior with a memory for a model file."""

from __future__ import annotations

from typing import Any

import click

from distill_prior_gen.cli.adding_networks import (
    ExtendedModel,
    Request,
    Summary,
    add_networks,
    request_options,
)
from distill_prior_gen.cli.training_options import TIMELINE_OPTIONS, setting_options
from distill_prior_gen.cli.training_report import timeline_notes, timeline_result
from distill_prior_gen.config import Progress
from distill_prior_gen.training.settings import TimelineSettings


@click.command("train-timeline")
@setting_options(TIMELINE_OPTIONS)
@request_options("timeline prior")
def train_timeline(request: Request, /, **given: Any) -> None:
    """Train a timeline prior for MODEL on the recordings in FOLDER, and put it into the file.

    MODEL is a .distill file with a VQ-VAE, of this package or of the Distill app, and FOLDER
    has the recordings that it was trained on. Everything else in the file stays as it is. The
    timeline prior remembers seconds of a take, so that it develops, and is used from then on.
    Ctrl-C ends the training early and keeps what was learned so far.
    """

    def train(model: ExtendedModel, report: Progress) -> Summary:
        from distill_prior_gen.checkpoint.timeline import timeline_entries
        from distill_prior_gen.training.timeline import train_timeline

        vqvae, dataset = model.checkpoint.build_vqvae(), model.dataset
        settings = TimelineSettings.for_files(dataset.files, seed=request.seed, **given)
        timeline = train_timeline(vqvae, dataset, settings, request.device, report)
        model.add(timeline_entries(timeline.network, timeline.metadata))
        return Summary(
            timeline_notes(timeline),
            {"timeline": timeline_result(timeline)},
            "what was learned so far is kept" if timeline.history.interrupted else "",
        )

    add_networks(request, ["timeline"], train)
