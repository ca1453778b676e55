"""How close recordings through the codes, and takes, come to the recordings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from distill_prior_gen.config import GenerationConfig, Progress, no_progress, partial_progress
from distill_prior_gen.evaluation.distances import (
    density_and_coverage,
    effective_number,
    frechet_distance,
    kernel_distance,
    median_distance,
    nearest_rows,
)
from distill_prior_gen.evaluation.features import SecondFeatures, second_features
from distill_prior_gen.evaluation.novelty import Novelty, measure_novelty
from distill_prior_gen.evaluation.rendering import (
    HELD_OUT,
    TRAINING,
    Example,
    RenderedRecordings,
    padded,
    render_takes,
)
from distill_prior_gen.model import PriorModel
from distill_prior_gen.neural_vocoder import choose_vocoder
from distill_prior_gen.plugins import get_registered, samplers, vocoders
from distill_prior_gen.sampling.timeline import choose_sampler
from distill_prior_gen.torch_state import take_state
from distill_prior_gen.training.data import Dataset

CORE_VOCODER = "torchaudio"
"""How the Distill app turns mels into sound; shown for comparison."""

MIN_SECONDS = 4
"""Fewest seconds of recordings that others can be compared with: two in each half."""

TAKES, TAKE_S = 8, 5.0
"""Number and length of the takes of `measure_takes`."""


@dataclass(frozen=True, eq=False)
class Closeness:
    """Result of `measure_closeness`.

    Attributes:
        paired: a row for each group of recordings and each vocoder, see `compare`.
        unpaired: a row for each set of sounds, see `Reference.compare` and `Reference.visited`.
        novelty: takes compared with the recordings by codes, for each sampler.
        features: features of each set of sounds, by the name of its row, the recordings first.
        example: a held-out recording.
    """

    paired: list[dict[str, Any]]
    unpaired: list[dict[str, Any]]
    novelty: dict[str, Novelty]
    features: dict[str, SecondFeatures]
    example: Example

    @property
    def summary(self) -> dict[str, Any]:
        """All figures as plain values."""
        return {
            "paired": self.paired,
            "unpaired": self.unpaired,
            "novelty": {name: novelty.summary for name, novelty in self.novelty.items()},
        }


class Reference:
    """The seconds of the training recordings, which other sounds are compared with.

    Attributes:
        features: features of their seconds.
        scale: standard deviation of each feature.
        owners: name of the recording of each second.
    """

    def __init__(self, parts: Sequence[SecondFeatures], names: Sequence[str]) -> None:
        self.features = SecondFeatures.join(parts)
        if len(self.features) < MIN_SECONDS:
            raise ValueError(
                f"the recordings that the model was trained on have {len(self.features)} seconds "
                f"with sound; a comparison needs {MIN_SECONDS}"
            )
        self.scale = self.features.rows.std(axis=0) + 1e-6
        self.owners = np.repeat(names, [len(part) for part in parts])
        self.bandwidth = median_distance(self.features.rows / self.scale)

    def compare(self, name: str, features: SecondFeatures) -> dict[str, Any]:
        """Distances between the seconds of a set of sounds and those of the recordings.

        Returns:
            ``sound``, the name; ``kernel``, `kernel_distance` times 100; ``frechet``,
            `frechet_distance`; ``frechet_bands``, the same without the modulation; ``density`` and
            ``coverage``; and ``flatness`` and ``variation``, means over bands and seconds. Only
            ``sound`` if fewer than two seconds have sound.
        """
        return self._distances(name, self.features, features)

    def halves(self) -> dict[str, Any]:
        """The same between every other second of the recordings and the rest: the floor."""
        odd = np.arange(len(self.features)) % 2 == 1
        row = self._distances("half of the recordings", *map(self.features.part, (~odd, odd)))
        return row | {"recordings": effective_number(self.owners)}

    def _distances(
        self, name: str, reference: SecondFeatures, features: SecondFeatures
    ) -> dict[str, Any]:
        if len(features) < 2:
            return {"sound": name}
        known, rows = reference.rows / self.scale, features.rows / self.scale
        bands = reference.band_rows.shape[1]
        density, coverage = density_and_coverage(known, rows)
        return {
            "sound": name,
            "kernel": 100 * kernel_distance(known, rows, self.bandwidth),
            "frechet": frechet_distance(known, rows),
            "frechet_bands": frechet_distance(known[:, :bands], rows[:, :bands]),
            "density": density,
            "coverage": coverage,
            "flatness": float(features.flatness.mean()),
            "variation": float(features.variation.mean()),
        }

    def visited(self, takes: SecondFeatures, seconds: int) -> dict[str, float]:
        """Effective number of recordings that takes visit early and late, and of all recordings.

        A second visits the recording with the nearest mean log-mel.

        Args:
            takes: features of the takes.
            seconds: number of seconds of a take.
        """
        nearest = nearest_rows(takes.spectrum, self.features.spectrum)
        visits, third = self.owners[nearest], max(1, seconds // 3)
        early, late = takes.place < third, takes.place >= seconds - third
        return {
            "recordings_early": effective_number(visits[early]) if early.any() else 0.0,
            "recordings_late": effective_number(visits[late]) if late.any() else 0.0,
            "recordings": effective_number(self.owners),
        }


def measure_closeness(
    model: PriorModel,
    dataset: Dataset,
    config: GenerationConfig,
    takes: int,
    sampler_names: Sequence[str],
    vocoder_names: Sequence[str],
    progress: Progress = no_progress,
) -> Closeness:
    """Compare recordings through the codes, and takes, with the recordings.

    Args:
        model: the model.
        dataset: recordings with the spectrogram settings and chunk length of the model.
        config: settings of the takes; seeds are `config.seed`, or 0 if that is None, and the
            following ones.
        takes: number of takes for each sampler.
        sampler_names, vocoder_names: names of samplers and vocoders, which are all combined.
        progress: called with the share that is done.

    Raises:
        ValueError: if there is no such sampler or vocoder, or if the recordings are too short.
    """
    chosen = list(dict.fromkeys(choose_vocoder(model, name) for name in vocoder_names))
    for name in chosen:
        get_registered("vocoder", name, vocoders())
    configs = {
        name: replace(config, sampler=name)
        for name in (choose_sampler(model, name) for name in sampler_names)
    }
    for name in configs:
        get_registered("sampler", name, samplers())
    methods = list(dict.fromkeys([*chosen, CORE_VOCODER]))
    with take_state(model.device):
        rendered = RenderedRecordings(model, methods)
        rendered.add(TRAINING, dataset.training, partial_progress(progress, 0.0, 0.3))
        rendered.add(HELD_OUT, dataset.validation, partial_progress(progress, 0.3, 0.4))
        names = [dataset.original(recording) for recording in dataset.training]
        reference = Reference(rendered.features[TRAINING, None], names)
        features = {"recordings": reference.features}
        rows, codes = [reference.halves()], {}
        for name in methods:
            label = f"recordings through their codes, {name}"
            features[label] = SecondFeatures.join(rendered.features[TRAINING, name])
            rows.append(reference.compare(label, features[label]))
        for number, (sampler, settings) in enumerate(configs.items()):
            start, end = (0.4 + 0.5 * (number + n) / len(configs) for n in (0, 1))
            stage = partial_progress(progress, start, end)
            codes[sampler], sounds = render_takes(model, settings, takes, methods, stage)
            for name in methods:
                label = f"takes, {sampler}, {name}"
                features[label] = sounds[name]
                visited = reference.visited(sounds[name], int(config.duration))
                rows.append(reference.compare(label, sounds[name]) | visited)
        stage = partial_progress(progress, 0.9, 1.0)
        novelty = measure_novelty(model, dataset, codes, stage)
    features["white noise"] = _white_noise(model)
    rows.append(reference.compare("white noise", features["white noise"]))
    return Closeness(rendered.rows(), rows, novelty, features, rendered.example)


def _white_noise(model: PriorModel) -> SecondFeatures:
    """Features of a minute of white noise."""
    noise = torch.randn(60 * model.sample_rate, generator=torch.Generator().manual_seed(0))
    return second_features(noise, model.spectrogram)


def measure_takes(
    model: PriorModel, dataset: Dataset, progress: Progress = no_progress
) -> dict[str, float] | None:
    """Compare a few takes with the recordings that a model was trained on.

    Args:
        model: the model.
        dataset: recordings with the spectrogram settings and chunk length of the model.
        progress: called with the share that is done.

    Returns:
        ``takes``, their number; ``seconds``, their length; ``kernel``, `kernel_distance` times 100
        of their seconds from those of the recordings, 0 if they are alike; ``kernel_of_noise``,
        that of white noise; and ``copies``, the share of chunks that copy a recording. None if the
        recordings have fewer than `MIN_SECONDS` seconds with sound, or the takes fewer than two.
    """
    sampler, vocoder = choose_sampler(model, "auto"), choose_vocoder(model, "auto")
    config = GenerationConfig(duration=TAKE_S, seed=0, sampler=sampler, vocoder=vocoder)
    drawing, comparing = partial_progress(progress, 0.0, 0.7), partial_progress(progress, 0.7, 1.0)
    with take_state(model.device):
        sounds = [padded(recording, model.spectrogram) for recording in dataset.training]
        parts = [second_features(sound, model.spectrogram) for sound in sounds]
        if sum(map(len, parts)) < MIN_SECONDS:
            return None
        reference = Reference(parts, [dataset.original(r) for r in dataset.training])
        codes, features = render_takes(model, config, TAKES, [vocoder], drawing)
        novelty = measure_novelty(model, dataset, {sampler: codes}, comparing)[sampler]
    row = reference.compare("takes", features[vocoder])
    if "kernel" not in row:
        return None
    return {
        "takes": TAKES,
        "seconds": TAKE_S,
        "kernel": row["kernel"],
        "kernel_of_noise": reference.compare("noise", _white_noise(model))["kernel"],
        "copies": novelty.summary["copies"],
    }
