"""Makes the pictures of the documentation: python docs/figures.py MODEL"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

from distill_prior_gen import GenerationConfig, GenerationResult, PriorModel, generate, load_model

IMAGES = Path(__file__).parent / "images"
INK, ACCENT = "#333344", "#d1495b"


def draw_take(model: PriorModel, result: GenerationResult, path: Path) -> None:
    """The mel spectrogram of a take over time, in dB, with its waveform above."""
    spectrogram = model.spectrogram
    power = spectrogram.log_mel(torch.from_numpy(result.audio)).expm1().numpy()
    level = 10 * np.log10(power + 1e-10)
    level -= level.max()
    figure, (wave, mel) = plt.subplots(
        2, 1, figsize=(9, 4.2), sharex=True, height_ratios=(1, 3), layout="constrained"
    )
    time = np.arange(len(result.audio)) / result.sample_rate
    wave.plot(time, result.audio, color=INK, linewidth=0.3)
    wave.set_ylabel("Amplitude")
    peak = 1.05 * np.abs(result.audio).max()
    wave.set_ylim(-peak, peak)
    picture = mel.imshow(
        level,
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=-70,
        vmax=0,
        extent=(0, result.duration, 0, spectrogram.n_mels),
        interpolation="nearest",
    )
    mel.set_yticks(*hertz_ticks(spectrogram.n_mels, spectrogram.sample_rate))
    mel.set_ylabel("Frequency (Hz)")
    mel.set_xlabel("Time (s)")
    figure.colorbar(picture, ax=mel, label="dB", pad=0.01)
    for axes in (wave, mel):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


def hertz_ticks(n_mels: int, sample_rate: int) -> tuple[list[float], list[str]]:
    """Positions on an axis of mel bands for round frequencies (HTK scale)."""
    hertz = [f for f in (100, 500, 1000, 2000, 5000, 10_000, 20_000) if f <= sample_rate / 2]
    top = np.log10(1 + sample_rate / 2 / 700)
    return [n_mels * np.log10(1 + f / 700) / top for f in hertz], [f"{f:,}" for f in hertz]


if __name__ == "__main__":
    model = load_model(sys.argv[1])
    result = generate(model, GenerationConfig(duration=6, temperature=0.9, seed=7))
    draw_take(model, result, IMAGES / "take.png")
