"""The picture of an evaluation: spectra of all sounds, and spectrograms of a recording."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import FuncFormatter
from torch import Tensor

from distill_prior_gen.atomic import atomic_write
from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.evaluation.closeness import Closeness
from distill_prior_gen.evaluation.features import DECIBELS, LOWEST_HZ, band_centres, spectrum_power

MAX_EXAMPLE_S = 6.0
"""Longest part of a recording that is shown."""

RANGE_DB = 90.0
"""Levels that are shown, below the peak of the recording."""

TICKS_HZ = (100, 300, 1000, 3000, 10_000, 30_000, 100_000)

ROWS = 400
"""Frequencies that a spectrogram shows, spaced like tones rather than evenly."""


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
            "level": "level, dB",
            "flatness": "flatness, dB (lower: more tonal)",
            "variation": "variation of the level over time, dB",
        }.items(),
        strict=True,
    ):
        _plot_bands(axes, closeness, feature, spectrogram.sample_rate)
        axes.set(title=label, xlabel="Hz")
    top.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    bottom.suptitle(f"{closeness.example.name} (held out), and rendered from its codes")
    _plot_spectrograms(bottom, sounds, spectrogram.sample_rate)
    with atomic_write(path, overwrite) as partial:
        figure.savefig(partial, dpi=100, format="png")


def _plot_spectrograms(figure: SubFigure, sounds: dict[str, Tensor], sample_rate: int) -> None:
    """Plot the beginnings of sounds side by side, from the lowest band to half the sample rate."""
    panels = figure.subplots(1, len(sounds), sharex=True, sharey=True, squeeze=False)[0]
    length, top_hz = round(MAX_EXAMPLE_S * sample_rate), sample_rate / 2
    powers = {n: spectrum_power(sound[:length], sample_rate) for n, sound in sounds.items()}
    loudest = 10 * float(powers["recording"].max().log10())
    for axes, (name, power) in zip(panels, powers.items(), strict=True):
        shown = np.geomspace(LOWEST_HZ, top_hz, ROWS) / top_hz * (len(power) - 1)
        axes.imshow(
            10 * power[np.rint(shown).astype(int)].log10().numpy(),
            origin="lower",
            aspect="auto",
            vmin=loudest - RANGE_DB,
            vmax=loudest,
            cmap="magma",
            extent=(0, min(length, len(sounds[name])) / sample_rate, 0, 1),
        )
        axes.set(title=name, xlabel="s")
    ticks = [hertz for hertz in TICKS_HZ if hertz <= top_hz]
    places = np.log(np.array(ticks) / LOWEST_HZ) / np.log(top_hz / LOWEST_HZ)
    panels[0].set_yticks(places, [f"{hertz:,}" for hertz in ticks])
    panels[0].set_ylabel("Hz")


def _plot_bands(axes: Axes, closeness: Closeness, feature: str, sample_rate: int) -> None:
    """Plot the mean of a feature in each band, for the recordings and all takes."""
    for name, features in closeness.features.items():
        recordings = name == "recordings"
        if not recordings and not name.startswith("takes"):
            continue
        # Levels are common logarithms, the others natural ones.
        decibels = 10 if feature == "level" else DECIBELS
        values = decibels * getattr(features, feature).mean(axis=0)
        width, color = (2.5, "black") if recordings else (1.5, None)
        centres = band_centres(sample_rate)
        axes.plot(centres, values, label=name, linewidth=width, color=color)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda hz, _: f"{hz:,.0f}"))
    axes.grid(alpha=0.3)
