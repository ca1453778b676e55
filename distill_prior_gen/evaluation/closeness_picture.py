"""The picture of an evaluation: spectra of all sounds, and spectrograms of a recording."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from distill_prior_gen.atomic import atomic_write
from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.evaluation.closeness import Closeness
from distill_prior_gen.evaluation.features import band_centres, spectrum_power

MAX_EXAMPLE_S = 6.0
"""Longest part of a recording that is shown."""

RANGE_DB = 90.0
"""Levels that are shown, below the peak of the recording."""


def plot_closeness(
    path: Path, closeness: Closeness, spectrogram: SpectrogramSettings, overwrite: bool = False
) -> None:
    """Write a PNG with the mean level, flatness and variation by band, and spectrograms.

    Raises:
        FileExistsError: if `path` exists and `overwrite` is False.
    """
    sounds = closeness.example.sounds
    figure = Figure(figsize=(12, 8), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(1, 1.1), squeeze=False)[:, 0]
    panels = top.subplots(1, 3)
    for axes, (feature, label) in zip(
        panels,
        {
            "level": "level (log10 of the power)",
            "flatness": "flatness (lower: more tonal)",
            "variation": "variation of the level over time",
        }.items(),
        strict=True,
    ):
        _plot_bands(axes, closeness, feature, spectrogram.sample_rate)
        axes.set(title=label, xlabel="Hz")
    top.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    bottom.suptitle(f"{closeness.example.name} (held out), and rendered from its codes")
    rows = bottom.subplots(1, len(sounds), sharex=True, sharey=True, squeeze=False)[0]
    powers = {
        name: spectrum_power(
            sound[: round(MAX_EXAMPLE_S * spectrogram.sample_rate)], spectrogram.sample_rate
        )
        for name, sound in sounds.items()
    }
    top_db = 10 * np.log10(float(powers["recording"].max()))
    for axes, (name, power) in zip(rows, powers.items(), strict=True):
        seconds = min(MAX_EXAMPLE_S, len(sounds[name]) / spectrogram.sample_rate)
        axes.imshow(
            10 * power.log10().numpy(),
            origin="lower",
            aspect="auto",
            vmin=top_db - RANGE_DB,
            vmax=top_db,
            cmap="magma",
            extent=(0, seconds, 0, spectrogram.sample_rate / 2000),
        )
        axes.set(title=name, xlabel="s")
    rows[0].set_ylabel("kHz")
    with atomic_write(path, overwrite) as partial:
        figure.savefig(partial, dpi=100, format="png")


def _plot_bands(axes: Axes, closeness: Closeness, feature: str, sample_rate: int) -> None:
    """Plot the mean of a feature in each band, for the recordings and all takes."""
    for name, features in closeness.features.items():
        recordings = name == "recordings"
        if not recordings and not name.startswith("takes"):
            continue
        values = getattr(features, feature).mean(axis=0)
        width, color = (2.5, "black") if recordings else (1.5, None)
        centres = band_centres(sample_rate)
        axes.plot(centres, values, label=name, linewidth=width, color=color)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda hz, _: f"{hz:g}"))
    axes.grid(alpha=0.3)
