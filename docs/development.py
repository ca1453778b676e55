"""Make the tables and pictures of docs/coherence.md on how takes develop.

python docs/development.py MODEL|demo RECORDINGS [TAKES]
"""

import sys
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from distill_prior_gen import (
    GenerationConfig,
    PriorModel,
    generate,
    generate_takes,
    load_model,
    read_dataset,
)
from distill_prior_gen.audio.onsets import onset_envelope
from distill_prior_gen.config import DESCRIPTORS
from distill_prior_gen.demo import demo_model
from distill_prior_gen.evaluation.closeness import Reference
from distill_prior_gen.evaluation.distances import nearest_rows
from distill_prior_gen.evaluation.features import SecondFeatures, second_features
from distill_prior_gen.evaluation.metrics import second_metrics
from distill_prior_gen.evaluation.novelty import measure_novelty
from distill_prior_gen.evaluation.rendering import as_chunks
from distill_prior_gen.training.data import Dataset
from distill_prior_gen.training.descriptors import describe, sum_columns
from distill_prior_gen.ui.pictures import hertz_ticks

IMAGES = Path(__file__).parent / "images"
SECONDS, STEERED_SECONDS = 30, 10
LAGS_S = (0.2, 4.0)
"""Shortest and longest lag at which a rhythm is looked for."""


def level(samples: Tensor) -> Tensor:
    """Samples with a peak of 1."""
    return samples / samples.abs().max()


def rhythm(model: PriorModel, sounds: list[Tensor]) -> np.ndarray:
    """Mean autocorrelation of the onset envelopes of sounds at lags within `LAGS_S`.

    Lags for which no sound is twice as long are NaN.
    """
    rate = model.sample_rate / model.spectrogram.hop_length
    first, last = (round(lag * rate) for lag in LAGS_S)
    curves = []
    for samples in sounds:
        onsets = onset_envelope(model.spectrogram.log_mel(samples).expm1().double())
        onsets = onsets - onsets.mean()
        count = len(onsets)
        energy = torch.fft.rfft(F.pad(onsets, (0, count))).abs().square()
        correlation = torch.fft.irfft(energy)[:count] / torch.arange(count, 0, -1)
        correlation = correlation / correlation[0].clamp(min=1e-9)
        curve = torch.full((last - first,), torch.nan)
        known = correlation[first : min(last, count // 2)]
        curve[: len(known)] = known
        curves.append(curve.numpy())
    measured = np.array(curves)
    counted = np.isfinite(measured).sum(axis=0)
    return np.where(counted > 0, np.nansum(measured, axis=0) / np.maximum(counted, 1), np.nan)


def neighbours(model: PriorModel, sounds: list[Tensor]) -> float:
    """Mean difference of the mean log-mels of consecutive seconds."""
    second = model.sample_rate // model.spectrogram.hop_length
    mels = [model.spectrogram.log_mel(sound) for sound in sounds]
    metrics = [second_metrics(mel, second) for mel in mels if mel.shape[1] > 2 * second]
    return float(np.mean([each["neighbours"] for each in metrics])) if metrics else np.nan


def mean_descriptors(model: PriorModel, samples: Tensor) -> np.ndarray:
    """Mean of each descriptor over a sound, ``[descriptor]``."""
    frame_rate = model.sample_rate / model.spectrogram.hop_length
    sums = sum_columns(model.spectrogram.log_mel(samples))
    return describe(sums, frame_rate).nanmean(dim=0).numpy()


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's correlation of two sequences without ties."""
    return float(np.corrcoef(a.argsort().argsort(), b.argsort().argsort())[0, 1])


def join_recordings(model: PriorModel, recordings: list[Tensor], count: int) -> list[Tensor]:
    """Recordings one after the other in random order, as long as takes."""
    generator = torch.Generator().manual_seed(0)
    joined: list[Tensor] = []
    samples = SECONDS * model.sample_rate
    while sum(map(len, joined)) < count * samples:
        order = torch.randperm(len(recordings), generator=generator).tolist()
        joined += [recordings[number] for number in order]
    return list(torch.cat(joined)[: count * samples].split(samples))


def features_of(model: PriorModel, sounds: list[Tensor]) -> SecondFeatures:
    return SecondFeatures.join([second_features(sound, model.spectrogram) for sound in sounds])


def print_samplers(model: PriorModel, dataset: Dataset, reference: Reference, count: int) -> None:
    """Print how takes develop, beside the recordings and beside these one after the other."""
    print("| | Fréchet distance | without modulation | variation | neighbours | rhythm | effective "
          "recordings, early and late | copies |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|")
    halves = reference.halves()
    recordings = [level(recording.samples) for recording in dataset.training]
    curves = {"recordings": rhythm(model, recordings)}
    print(
        f"| recordings, half against half | {halves['frechet']:.1f} | "
        f"{halves['frechet_bands']:.1f} | {reference.features.variation.mean():.2f} | "
        f"{neighbours(model, recordings):.2f} | | {halves['recordings']:.1f} | |"
    )
    for sampler in ("one after the other", "timeline", "continue"):
        copies = ""
        if sampler == "one after the other":
            sounds = join_recordings(model, recordings, count)
        else:
            config = GenerationConfig(duration=SECONDS, sampler=sampler, seed=0)
            takes = list(generate_takes(model, config, count))
            sounds = [torch.from_numpy(take.audio) for take in takes]
            chunks = as_chunks(model, torch.stack([take.codes for take in takes]))
            novelty = measure_novelty(model, dataset, {sampler: chunks})[sampler]
            copies = f"{novelty.summary['copies']:.1%}"
        features = features_of(model, sounds)
        row = reference.compare(sampler, features) | reference.visited(features, SECONDS)
        curves[sampler] = rhythm(model, sounds)
        known = np.isfinite(curves["recordings"])
        same = np.corrcoef(curves["recordings"][known], curves[sampler][known])[0, 1]
        print(
            f"| {sampler} | {row['frechet']:.1f} | {row['frechet_bands']:.1f} | "
            f"{row['variation']:.2f} | {neighbours(model, sounds):.2f} | {same:.2f} | "
            f"{row['recordings_early']:.1f}, {row['recordings_late']:.1f} | {copies} |",
            flush=True,
        )


def print_steering(model: PriorModel, reference: Reference, count: int) -> None:
    """Print how well takes follow each descriptor, and how far they are from the recordings."""
    free = GenerationConfig(duration=STEERED_SECONDS, seed=0)
    sounds = [torch.from_numpy(take.audio) for take in generate_takes(model, free, count)]
    distance = reference.compare("free", features_of(model, sounds))["frechet"]
    print("\n| | rank correlation | Fréchet distance | |\n|---|---|---|---|")
    print(f"| free | | {distance:.1f} | |")
    asked = np.linspace(0.0, 1.0, count)
    for number, name in enumerate(DESCRIPTORS):
        configs = [
            replace(free, seed=seed, **{name: float(value)}) for seed, value in enumerate(asked)
        ]
        sounds = [torch.from_numpy(generate(model, config).audio) for config in configs]
        came = np.array([mean_descriptors(model, sound)[number] for sound in sounds])
        frechet = reference.compare(name, features_of(model, sounds))["frechet"]
        print(
            f"| `--{name}` | {rank_correlation(asked, came):.2f} | {frechet:.1f} | "
            f"**{frechet / distance:.2f}** |",
            flush=True,
        )


def print_likeness(model: PriorModel, dataset: Dataset, reference: Reference, count: int) -> None:
    """Print how often takes begin near the recording that was named, and whether they copy it."""
    near, codes = [], []
    for seed in range(count):
        recording = dataset.training[seed % len(dataset.training)]
        config = GenerationConfig(
            duration=4, sampler="timeline", seed=seed, like=recording.name, wander=0
        )
        take = generate(model, config)
        features = second_features(torch.from_numpy(take.audio), model.spectrogram)
        nearest = nearest_rows(features.spectrum, reference.features.spectrum)
        near += list(reference.owners[nearest] == dataset.original(recording))
        codes.append(take.codes)
    chunks = as_chunks(model, torch.stack(codes))
    copies = measure_novelty(model, dataset, {"like": chunks})["like"].summary["copies"]
    print(f"\n`--like`: {np.mean(near):.0%} of the seconds are nearest to the recording that was "
          f"named; {copies:.1%} of the chunks are copies")  # fmt: skip


def plot_minute(model: PriorModel, reference: Reference, path: Path) -> None:
    """Plot a minute of sound that gets brighter, and which recordings its seconds are nearest."""
    config = GenerationConfig(
        duration=60, allow_long=True, seed=1, bright=(0.0, 1.0), sampler="timeline"
    )
    samples = torch.from_numpy(generate(model, config).audio)
    features = second_features(samples, model.spectrogram)
    nearest = reference.owners[nearest_rows(features.spectrum, reference.features.spectrum)]
    names = list(dict.fromkeys(nearest))
    mel = model.spectrogram.log_mel(samples)
    decibels = 10 * torch.log10(mel.expm1() / mel.expm1().max() + 1e-10)
    frame_rate = model.sample_rate / model.spectrogram.hop_length
    bright = describe(sum_columns(mel), frame_rate)[:, DESCRIPTORS.index("bright")]
    figure, axes = plt.subplots(
        3, 1, figsize=(10, 7), sharex=True, layout="constrained", height_ratios=(3, 1, 2)
    )
    axes[0].imshow(
        decibels, origin="lower", aspect="auto", cmap="magma", vmin=-80, vmax=0,
        extent=(0, 60, 0, len(mel)),
    )  # fmt: skip
    axes[0].set_yticks(*hertz_ticks(model.spectrogram))
    axes[1].plot(np.linspace(0, 60, len(bright)), bright, color="#d1495b")
    axes[1].set_ylabel("brightness")
    axes[2].plot(features.place, [names.index(name) for name in nearest], "s", color="#333344")
    axes[2].set_yticks(range(len(names)), [Path(name).stem for name in names], fontsize=7)
    axes[2].set(xlabel="Time (s)", xlim=(0, 60), ylim=(len(names) - 0.5, -0.5))
    figure.savefig(path, dpi=72)


if __name__ == "__main__":
    model = load_model(demo_model() if sys.argv[1] == "demo" else sys.argv[1], "cpu")
    dataset = read_dataset(sys.argv[2], model.spectrogram, model.checkpoint.chunk_duration)
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 48
    reference = Reference(
        [second_features(level(r.samples), model.spectrogram) for r in dataset.training],
        [dataset.original(r) for r in dataset.training],
    )
    if sys.argv[1] == "demo":
        plot_minute(model, reference, IMAGES / "minute.png")
    print_samplers(model, dataset, reference, count)
    print_steering(model, reference, count)
    print_likeness(model, dataset, reference, count)
