"""Build the demo model: python docs/build_demo.py FOLDER -o MODEL.distill"""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from distill_prior_gen.cli.training_report import prior_notes, vqvae_notes
from distill_prior_gen.config import partial_progress
from distill_prior_gen.progress import progress_bar

RECORDINGS = (
    "ambi_choir",
    "ambi_drone",
    "ambi_glass_hum",
    "ambi_glass_rub",
    "ambi_haunted_hum",
    "ambi_lunar_land",
    "ambi_piano",
    "bass_thick_c",
    "bass_voxy_c",
    "bass_woodsy_c",
    "guit_e_fifths",
    "guit_e_slide",
    "guit_em9",
    "guit_harmonics",
    "perc_bell",
)
"""Tonal samples of Sonic Pi; docs/demo-model.md names their authors."""


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="File to write."
)
def build(folder: Path, output: Path) -> None:
    """Train the demo model on the samples of Sonic Pi in FOLDER, and halve its weights."""
    from dataclasses import replace

    import torch

    from distill_prior_gen.atomic import atomic_write
    from distill_prior_gen.training.data import read_dataset
    from distill_prior_gen.training.output import save_model
    from distill_prior_gen.training.prior import train_prior
    from distill_prior_gen.training.settings import TimelineSettings, VocoderSettings
    from distill_prior_gen.training.timeline import train_timeline
    from distill_prior_gen.training.vocoder import train_vocoder
    from distill_prior_gen.training.vqvae import train_vqvae

    missing = [name for name in RECORDINGS if not (folder / f"{name}.flac").exists()]
    if missing:
        raise click.UsageError(f"{folder} lacks {', '.join(missing)} (.flac)")
    with TemporaryDirectory() as chosen, progress_bar(True) as report:
        for name in RECORDINGS:
            shutil.copy(folder / f"{name}.flac", chosen)
        dataset = replace(read_dataset(chosen), name="bells, choir, guitar, glass")
        vqvae = train_vqvae(dataset, progress=partial_progress(report, 0.0, 0.2))
        prior = train_prior(vqvae.vqvae, dataset, progress=partial_progress(report, 0.2, 0.35))
        stage = partial_progress(report, 0.35, 0.6)
        narrow = TimelineSettings(width=112)
        timeline = train_timeline(vqvae.vqvae, dataset, narrow, progress=stage)
        settings = VocoderSettings(width=256, epochs=40, learning_rate=2e-3, patience=40)
        stage = partial_progress(report, 0.6, 1.0)
        vocoder = train_vocoder(vqvae.vqvae, dataset, settings, progress=stage)
        whole = Path(chosen) / "Demo.distill"
        save_model(whole, dataset, vqvae, prior, timeline=timeline, vocoder=vocoder)
        contents: dict[str, Any] = torch.load(whole, weights_only=True)
    for key in ("model_state_dict", "prior_state_dict"):
        contents[key] = {
            name: tensor.half() if tensor.is_floating_point() else tensor
            for name, tensor in contents[key].items()
        }
    with atomic_write(output, overwrite=True) as partial:
        torch.save(contents, partial)
    for text in (*vqvae_notes(vqvae), *prior_notes(prior)):
        click.echo(text)


if __name__ == "__main__":
    build()
