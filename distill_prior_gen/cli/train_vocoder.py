"""``distill-prior train-vocoder``: a vocoder for a model file, trained on its recordings."""

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
from distill_prior_gen.cli.training_options import VOCODER_OPTIONS, setting_options
from distill_prior_gen.cli.training_report import vocoder_notes, vocoder_result
from distill_prior_gen.config import Progress
from distill_prior_gen.training.settings import VocoderSettings


@click.command("train-vocoder")
@setting_options(VOCODER_OPTIONS)
@click.option("--keep", is_flag=True, help="Store the vocoder even if mel-griffin-lim is closer.")
@request_options("vocoder")
def train_vocoder(request: Request, /, keep: bool, **given: Any) -> None:
    """Train a vocoder for MODEL on the recordings in FOLDER, and put it into the file.

    MODEL is a .distill file with a VQ-VAE, of this package or of the Distill app, and FOLDER
    has the recordings that it was trained on. Everything else in the file stays as it is.
    Recordings that are held out tell whether takes will come closer to them than with
    mel-griffin-lim; if not, nothing is stored. Ctrl-C ends the training early and keeps its best
    epoch.
    """

    def train(model: ExtendedModel, report: Progress) -> Summary:
        from distill_prior_gen.checkpoint.vocoder import vocoder_entries
        from distill_prior_gen.training.vocoder import train_vocoder

        vqvae, dataset = model.checkpoint.build_vqvae(), model.dataset
        settings = VocoderSettings.for_files(dataset.files, seed=request.seed, **given)
        vocoder = train_vocoder(vqvae, dataset, settings, request.device, report)
        stored = vocoder.better or keep
        if stored:
            model.add(vocoder_entries(vocoder.network, vocoder.metadata))
        return Summary(
            vocoder_notes(vocoder, stored),
            {"stored": stored, "vocoder": vocoder_result(vocoder)},
            "the best so far is kept" if vocoder.history.interrupted else "",
            failed=not stored,
        )

    add_networks(request, ["vocoder"], train)
