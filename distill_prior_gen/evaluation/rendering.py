"""Sounds to be evaluated: recordings through the codes and back, and takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.audio.spectral_distance import log_spectral_distance, spectral_convergence
from distill_prior_gen.config import GenerationConfig, Progress, no_progress, partial_progress
from distill_prior_gen.evaluation.features import (
    DECIBELS,
    SecondFeatures,
    band_measures,
    second_features,
    spectrum_power,
)
from distill_prior_gen.evaluation.metrics import mel_fit
from distill_prior_gen.model import PriorModel
from distill_prior_gen.plugins import samplers, vocoders
from distill_prior_gen.sampling.layout import plan_layout
from distill_prior_gen.sampling.random_streams import Purpose, random_generator
from distill_prior_gen.sampling.takes import draw_takes
from distill_prior_gen.training.recording import MIN_FILE_PEAK, Recording
from distill_prior_gen.vocoding import Inversion, map_conditioning

MAX_RECORDING_S = 60.0
"""Longest part of a recording that is rendered, from its beginning."""

TRAINING, HELD_OUT = "training", "held out"
"""Names of the two groups of recordings."""


@dataclass(frozen=True, eq=False)
class Example:
    """A held-out recording and what the vocoders make of its codes.

    Attributes:
        name: name of the file.
        sounds: waveforms ``[samples]`` by name, the recording first.
    """

    name: str
    sounds: dict[str, Tensor]


def _renamed(progress: Progress, text: str, number: int, count: int) -> Progress:
    """A `Progress` for one of `count` equal parts of the work, whose description stays `text`."""
    return lambda share, _: progress((number + share) / count, text)


@torch.no_grad()
def reconstruct(
    model: PriorModel, samples: Tensor, names: Sequence[str], progress: Progress = no_progress
) -> dict[str, Tensor]:
    """Encode a recording as a whole, decode its codes and render them with vocoders.

    Args:
        model: the model.
        samples: waveform with a peak of 1, at least a window long, float32 ``[samples]``.
        names: names of the vocoders.
        progress: called with the share that is done.

    Returns:
        Waveforms by the names of the vocoders, at most a hop shorter than the recording.
    """
    mel = model.spectrogram.log_mel(samples.to(model.device))
    bands, frames = mel.shape
    codes = model.encode(mel[None])[0].unflatten(0, (model.grid[0], -1))
    decoded = model.decode_map(codes)[:bands, :frames]
    conditioning = map_conditioning(model, codes).at(slice(frames))
    sounds = {}
    for number, name in enumerate(names):
        generator = random_generator(0, Purpose.PHASE)
        stage = partial_progress(progress, number / len(names), (number + 1) / len(names))
        inversion = Inversion(decoded, model.spectrogram, generator, "normal", stage, conditioning)
        sounds[name] = inversion.invert(vocoders()[name]).cpu()
    return sounds


def compare(model: PriorModel, recording: Tensor, sound: Tensor) -> dict[str, float]:
    """Paired measures of a rendered recording; all but ``onsets`` are 0 for an equal sound.

    Returns:
        ``log_spectral_db``, see `log_spectral_distance`; ``convergence``, see
        `spectral_convergence`; ``mel_error``, the mean absolute difference of the log-mels;
        ``onsets``, the correlation of their rises, 1 for an equal sound; ``flatness_db``, the mean
        absolute difference of the flatness of half-octave bands in dB.
    """
    rate = model.sample_rate
    fit = mel_fit(model.spectrogram.log_mel(recording), sound, model.spectrogram)
    flatness = [band_measures(spectrum_power(x, rate), rate)[1] for x in (recording, sound)]
    return {
        "log_spectral_db": log_spectral_distance(sound, recording),
        "convergence": spectral_convergence(sound, recording),
        "mel_error": fit["l1"],
        "onsets": fit["onsets"],
        "flatness_db": float((flatness[0] - flatness[1]).abs().mean()) * DECIBELS,
    }


def padded(recording: Recording, spectrogram: SpectrogramSettings) -> Tensor:
    """The first minute of a recording with a peak of 1, at least a window and three hops long."""
    samples = recording.samples[: round(MAX_RECORDING_S * spectrogram.sample_rate)]
    samples = samples / samples.abs().max().clamp(min=MIN_FILE_PEAK)
    shortest = max(spectrogram.n_fft, spectrogram.hop_length * 4)
    return F.pad(samples, (0, max(0, shortest - len(samples))))


class RenderedRecordings:
    """Recordings through the codes: measures, features and an example.

    Attributes:
        features: features of each recording by group and vocoder, None for the recordings
            themselves.
    """

    def __init__(self, model: PriorModel, methods: Sequence[str]) -> None:
        self.model, self.methods = model, methods
        self.measures: dict[tuple[str, str], list[dict[str, float]]] = {}
        self.features: dict[tuple[str, str | None], list[SecondFeatures]] = {}

    def add(self, group: str, recordings: Sequence[Recording], progress: Progress) -> None:
        """Render the recordings of a group; short ones are padded to a window."""
        longest = max(recordings, key=lambda r: len(r.samples))
        for number, recording in enumerate(recordings):
            text = f"Rendering {recording.name}..."
            stage = _renamed(progress, text, number, len(recordings))
            stage(0.0, text)
            samples = padded(recording, self.model.spectrogram)
            sounds = reconstruct(self.model, samples, self.methods, stage)
            self._append(group, None, samples)
            for name, sound in sounds.items():
                self._append(group, name, sound)
                row = compare(self.model, samples, sound)
                self.measures.setdefault((group, name), []).append(row)
            if group == HELD_OUT and recording is longest:
                self.example = Example(recording.name, {"recording": samples, **sounds})

    def _append(self, group: str, name: str | None, sound: Tensor) -> None:
        rows = second_features(sound, self.model.spectrogram)
        self.features.setdefault((group, name), []).append(rows)

    def rows(self) -> list[dict[str, Any]]:
        """Means of the measures of each group and vocoder."""
        return [
            {"recordings": group, "vocoder": name}
            | {key: float(np.nanmean([row[key] for row in rows])) for key in rows[0]}
            for (group, name), rows in self.measures.items()
        ]


def render_takes(
    model: PriorModel,
    config: GenerationConfig,
    takes: int,
    methods: Sequence[str],
    progress: Progress,
) -> tuple[Tensor, dict[str, SecondFeatures]]:
    """Draw takes with the sampler of a configuration and render each with several vocoders.

    Args:
        model: the model.
        config: settings of the takes, whose first seed is `config.seed`, or 0 if that is None.
        takes: number of takes.
        methods: names of the vocoders.
        progress: called with the share that is done.

    Returns:
        Codes of the chunks of all takes, int64 ``[chunk, H * W, level]``, and the features of
        the seconds of all takes for each vocoder.
    """
    first, sampler = config.seed or 0, samplers()[config.sampler]
    seeds = range(first, first + takes)
    layout = plan_layout(model, config, sampler.continues, whole=sampler.whole)

    drawing, rendering = partial_progress(progress, 0.0, 0.3), partial_progress(progress, 0.3, 1.0)
    codes = draw_takes(sampler, model, config, seeds, layout, None, drawing)
    features: dict[str, list[SecondFeatures]] = {name: [] for name in methods}
    for number, (seed, take) in enumerate(zip(seeds, codes, strict=True)):
        mel, take_config = layout.decode(model, take), replace(config, seed=seed)
        for method, name in enumerate(methods):
            text, done = (
                f"Rendering take {number + 1} of {takes}...",
                number * len(methods) + method,
            )
            stage = _renamed(rendering, text, done, takes * len(methods))
            stage(0.0, text)
            sound, _ = layout.invert(vocoders()[name], model, take_config, take, mel, stage)
            features[name].append(second_features(sound.cpu(), model.spectrogram))
    joined = {name: SecondFeatures.join(parts) for name, parts in features.items()}
    return as_chunks(model, codes), joined


def as_chunks(model: PriorModel, codes: Tensor) -> Tensor:
    """Chunks of takes ``[take, chunk, H * W, level]``, where whole takes are cut into chunks."""
    height, width = model.grid
    maps = codes.flatten(0, 1).unflatten(1, (height, -1))  # [chunk, H, column, level]
    pieces = maps.unfold(2, width, model.valid_columns)  # [chunk, H, piece, level, W]
    return pieces.permute(0, 2, 1, 4, 3).flatten(2, 3).flatten(0, 1).contiguous()
