"""Make the pictures and the seam table of the documentation.

python docs/figures.py MODEL [SAMPLES_OF_SONIC_PI]
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
import torchaudio
from build_demo import RECORDINGS

from distill_prior_gen import (
    GenerationConfig,
    PriorModel,
    generate,
    generate_takes,
    invert_mel,
    load_model,
)
from distill_prior_gen.audio import griffin_lim
from distill_prior_gen.audio.recordings import read_mono
from distill_prior_gen.config import QUALITIES, no_progress
from distill_prior_gen.demo import demo_model
from distill_prior_gen.evaluation.metrics import mel_fit, seam_ratios
from distill_prior_gen.ui.board_controls import level_name
from distill_prior_gen.ui.pictures import decibels, hertz_ticks

IMAGES = Path(__file__).parent / "images"
INK, ACCENT = "#333344", "#d1495b"


def plot_take(model: PriorModel, path: Path) -> None:
    """Plot the mel spectrogram of a take, and below it the codes, with a panel for each level."""
    take = generate(model, GenerationConfig(seed=2))
    levels, rate = model.num_quantizers, model.sample_rate
    figure, (top, *panels) = plt.subplots(
        1 + levels, 1, figsize=(9, 3.6 + 0.8 * levels), layout="constrained", sharex=True,
        height_ratios=[3.6, *[0.8] * levels],
    )  # fmt: skip
    decibels_ = decibels(take.audio, model.spectrogram)
    extent = (0, take.duration, 0, len(decibels_))
    picture = top.imshow(
        decibels_, origin="lower", aspect="auto", cmap="magma", vmin=-80, vmax=0, extent=extent
    )
    top.set_yticks(*hertz_ticks(model.spectrogram))
    top.set_ylabel("Hz")
    figure.colorbar(picture, ax=top, pad=0.01, aspect=30, label="dB below the loudest")
    ((start, codes),) = take.layout.maps(take.codes.unflatten(1, (model.grid[0], -1)))
    end = start + codes.shape[1] * take.layout.column_samples
    for level, panel in enumerate(panels):
        panel.imshow(
            codes[..., level], origin="lower", aspect="auto", cmap="viridis",
            extent=(start / rate, end / rate, 0, len(codes)),
        )  # fmt: skip
        panel.set_yticks([])
        panel.set_ylabel(level_name(level), rotation=0, ha="right", va="center")
    panels[-1].set_xlabel("seconds")
    panels[-1].set_xlim(0, take.duration)
    for axes in (top, *panels):
        axes.spines[:].set_visible(False)
    figure.savefig(path, dpi=110)


def plot_demo(samples: Path, path: Path) -> None:
    """Plot the beginnings of the demo model's recordings, and takes of the model."""
    model = load_model(demo_model())
    rate, names = model.sample_rate, RECORDINGS[::2]
    beginnings = [read_mono(samples / f"{name}.flac", rate)[: round(1.2 * rate)] for name in names]
    panels = {"beginnings of eight of the recordings": torch.cat(beginnings)}
    for seed in (1, 2, 3):
        take = generate(model, GenerationConfig(seed=seed))
        panels[f"take, seed {seed}"] = torch.from_numpy(take.audio)
    figure, axes = plt.subplots(4, 1, figsize=(9, 7), layout="constrained")
    for ax, (title, samples_) in zip(axes, panels.items(), strict=True):
        power = model.spectrogram.log_mel(samples_).expm1()
        level = 10 * torch.log10(power / power.max() + 1e-10)
        ax.imshow(
            level.numpy(),
            origin="lower",
            aspect="auto",
            cmap="magma",
            vmin=-80,
            vmax=0,
            extent=(0, len(samples_) / rate, 0, len(level)),
        )
        ax.set_yticks(*hertz_ticks(model.spectrogram))
        ax.tick_params(labelsize=7)
        ax.set_title(title, loc="left", fontsize=10)
    axes[-1].set_xlabel("Time (s)")
    figure.savefig(path, dpi=72)


def plot_vocoders(model: PriorModel, path: Path) -> None:
    """Plot a decoded mel, and the mels of the sound that each vocoder makes from it."""
    config = GenerationConfig(duration=4, seed=3)
    mel = generate(model, config).mel
    panels = {"decoded": mel}
    for vocoder in ("mel-griffin-lim", "torchaudio"):
        sound = invert_mel(mel, model.spectrogram, vocoder)
        error = mel_fit(mel, sound, model.spectrogram)["l1"]
        title = f"sound of {vocoder} (mean error {error:.3f})"
        panels[title] = model.spectrogram.log_mel(sound)
    figure, axes = plt.subplots(3, 1, figsize=(9, 7), sharex=True, layout="constrained")
    for ax, (title, panel) in zip(axes, panels.items(), strict=True):
        picture = ax.imshow(
            panel.numpy(),
            origin="lower",
            aspect="auto",
            cmap="magma",
            vmin=0,
            vmax=float(mel.max()),
            extent=(0, config.duration, 0, mel.shape[0]),
        )
        ax.set_yticks(*hertz_ticks(model.spectrogram))
        ax.set_ylabel("Frequency (Hz)")
        ax.set_title(title, loc="left", fontsize=10)
    axes[-1].set_xlabel("Time (s)")
    figure.colorbar(picture, ax=axes, label="log(1 + mel power)", pad=0.01)
    figure.savefig(path, dpi=100)


def plot_iterations(model: PriorModel, path: Path) -> None:
    """Plot the error of both vocoders against the number of iterations."""
    mel = generate(model, GenerationConfig(duration=5, seed=3)).mel
    spectrogram = model.spectrogram
    counts = [1, 2, 4, 8, 16, 32, 64, 128]
    errors: dict[str, list[float]] = {"mel-griffin-lim": [], "torchaudio": []}
    for count in counts:
        griffin_lim.ITERATIONS["drawn"] = count
        generator = np.random.default_rng(0)
        own = griffin_lim.mel_griffin_lim(mel, spectrogram, generator, "drawn", no_progress)
        inverse = torchaudio.transforms.InverseMelScale(
            spectrogram.n_fft // 2 + 1, spectrogram.n_mels, spectrogram.sample_rate
        )
        plain = torchaudio.transforms.GriffinLim(
            spectrogram.n_fft, count, hop_length=spectrogram.hop_length
        )
        for name, sound in (("mel-griffin-lim", own), ("torchaudio", plain(inverse(mel.expm1())))):
            errors[name].append(mel_fit(mel, sound, spectrogram)["l1"])
    figure, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
    for (name, values), color in zip(errors.items(), (ACCENT, INK), strict=True):
        ax.plot(counts, values, "o-", color=color, markersize=4)
        ax.annotate(f" {name}", (counts[-1], values[-1]), color=color, va="center")
    for quality in QUALITIES:
        ax.axvline(griffin_lim.ITERATIONS[quality], color="#cccccc", linewidth=0.8, zorder=0)
        ax.text(griffin_lim.ITERATIONS[quality], ax.get_ylim()[1], quality, ha="center", fontsize=8)
    ax.set_xscale("log", base=2)
    ax.set_xticks(counts, counts)
    ax.set_xlim(0.9, 420)
    ax.set_ylim(bottom=0)
    ax.set_xlabel("Iterations")
    ax.set_ylabel("Mean error of the log-mel")
    ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=100)


def upside_down_join(pieces: np.ndarray, overlap: int) -> np.ndarray:
    """Join waveforms as the Distill app does, with fades in the wrong direction."""
    rising = np.hanning(2 * overlap)[:overlap]
    joined = pieces[0].copy()
    for piece in pieces[1:]:
        faded = joined[-overlap:] * rising + piece[:overlap] * rising[::-1]
        joined = np.concatenate([joined[:-overlap], faded, piece[overlap:]])
    return joined


def print_seams(model: PriorModel) -> None:
    """Print the `seam_ratios` of more than 200 seams as a Markdown table."""
    print("| joined as | overlap | energy above 8 kHz | largest step |\n|---|---|---|---|")
    for join in ("spectral", "crossfade"):
        for overlap in (50, 0):
            config = GenerationConfig(
                duration=30, sampler="independent", overlap=overlap, join=join, seed=0
            )
            takes = list(generate_takes(model, config, 8))
            boundaries = takes[0].boundaries[:-1]
            energy, step = seam_ratios([t.audio for t in takes], model.sample_rate, boundaries)
            print(f"| `{join}` | {overlap} ms | {energy:.2f} | {step:.2f} |")
    overlap = round(0.05 * model.sample_rate)
    audios = []
    for take in takes:
        mels = take.mel.unflatten(1, (len(take.codes), -1)).movedim(1, 0)
        pieces = invert_mel(mels, model.spectrogram).numpy()
        audios.append(upside_down_join(pieces, overlap))
    step = pieces.shape[1] - overlap
    boundaries = [chunk * step + overlap // 2 for chunk in range(1, len(pieces))]
    energy, jump = seam_ratios(audios, model.sample_rate, boundaries)
    print(f"| the Distill app's crossfade | 50 ms | {energy:.2f} | {jump:.2f} |")


if __name__ == "__main__":
    model = load_model(sys.argv[1])
    demo = load_model(demo_model())
    plot_take(demo, IMAGES / "take.png")
    plot_vocoders(model, IMAGES / "vocoders.png")
    plot_iterations(model, IMAGES / "iterations.png")
    print_seams(model)
    if len(sys.argv) > 2:
        plot_demo(Path(sys.argv[2]), IMAGES / "demo.png")
