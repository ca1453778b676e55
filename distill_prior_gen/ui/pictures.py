"""Plots of takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from distill_prior_gen.audio.mel import SpectrogramSettings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from distill_prior_gen.result import GenerationResult

INK, INK_ON_DARK = "#52525b", "#d4d4d8"
"""Colour of lines and letters on a white page, and on a dark one."""

FLOOR_DB = -80
"""Lower end of the colour scale, in dB relative to the loudest bin."""

TICKS_HZ = (100, 500, 1000, 2000, 5000, 10_000, 20_000)


def plot_take(
    result: GenerationResult,
    spectrogram: SpectrogramSettings,
    rows: int,
    narrow: bool = False,
    dark: bool = False,
) -> Figure:
    """Plot the mel spectrogram of a take, and below it the codes, with one panel for each level.

    The background is transparent. White lines are the boundaries between chunks.

    Args:
        result: the take.
        spectrogram: spectrogram settings of its model.
        rows: number of rows of the code map.
        narrow: whether the plot is for the window of a phone, with larger letters.
        dark: whether the plot is for a dark page.
    """
    levels = result.codes.shape[-1]
    # The page shows a label and buttons over the upper edge.
    layout = ConstrainedLayoutEngine(rect=(0, 0, 1, 0.92))
    width, dpi = (4.2, 220) if narrow else (9, 110)
    figure = Figure(figsize=(width, 3.6 + 0.8 * levels), dpi=dpi, layout=layout)
    figure.patch.set_alpha(0)
    mel, *panels = figure.subplots(1 + levels, 1, sharex=True, height_ratios=[3.6, *[0.8] * levels])
    ink = INK_ON_DARK if dark else INK
    _plot_mel(figure, mel, result, spectrogram, ink)
    for level, panel in enumerate(panels):
        _plot_codes(panel, result, level, rows)
    for axes in (mel, *panels):
        axes.spines[:].set_visible(False)
        axes.tick_params(colors=ink, labelsize=10)
        axes.yaxis.label.set_color(ink)
        for boundary in result.boundaries:
            axes.axvline(boundary / result.sample_rate, color="white", linewidth=0.8, alpha=0.5)
    panels[-1].set_xlabel("seconds", color=ink)
    panels[-1].set_xlim(0, result.duration)
    return figure


def to_pixels(figure: Figure) -> np.ndarray:
    """Pixels of a figure: uint8 ``[height, width, 4]``, with red, green, blue and opacity."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())


def _plot_mel(
    figure: Figure,
    axes: Axes,
    result: GenerationResult,
    spectrogram: SpectrogramSettings,
    ink: str,
) -> None:
    level = decibels(result.audio, spectrogram)
    picture = axes.imshow(
        level,
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=FLOOR_DB,
        vmax=0,
        extent=(0, result.duration, 0, len(level)),
        interpolation="nearest",
    )
    axes.set_yticks(*hertz_ticks(spectrogram))
    axes.set_ylabel("Hz")
    bar = figure.colorbar(picture, ax=axes, pad=0.01, aspect=30)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=ink, labelsize=10)
    bar.set_label("dB below the loudest", color=ink)


def decibels(samples: np.ndarray, spectrogram: SpectrogramSettings) -> np.ndarray:
    """Log-mel of ``[samples]`` in dB below its loudest bin, float32 ``[n_mels, frames]``."""
    # The STFT needs half a window on either side, which a short take does not have.
    missing = max(0, spectrogram.n_fft // 2 + 1 - len(samples))
    audio = torch.from_numpy(np.pad(samples, (0, missing)))
    power = spectrogram.log_mel(audio).expm1().numpy()
    return 10 * np.log10(np.maximum(power, 1e-10) / max(power.max(), 1e-10))


def hertz_ticks(spectrogram: SpectrogramSettings) -> tuple[list[float], list[str]]:
    """Ticks at round frequencies for an axis of mel bands: positions and labels."""
    top = spectrogram.f_max or spectrogram.sample_rate / 2
    shown = [hertz for hertz in TICKS_HZ if spectrogram.f_min <= hertz <= top]
    return [spectrogram.band_at(hertz) for hertz in shown], [f"{hertz:,}" for hertz in shown]


def _plot_codes(axes: Axes, result: GenerationResult, level: int, rows: int) -> None:
    column = result.layout.column_samples / result.sample_rate
    for start, codes in result.layout.maps(result.codes.unflatten(1, (rows, -1))):
        left = start / result.sample_rate
        axes.imshow(
            codes[..., level].numpy(),
            origin="lower",
            aspect="auto",
            cmap="viridis",
            vmin=0,
            vmax=max(1, int(result.codes.max())),
            extent=(left, left + codes.shape[1] * column, 0, rows),
            interpolation="nearest",
        )
    axes.set_ylim(0, rows)
    axes.set_yticks([])
    axes.set_ylabel(f"level {level}", rotation=0, ha="right", va="center", fontsize=10)
