"""A take of the page, and what the page says of it."""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Collection
from dataclasses import dataclass, field, fields
from pathlib import Path

from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.config import GenerationConfig
from distill_prior_gen.export.naming import free_path, sidecar_path
from distill_prior_gen.formats import ExportConfig
from distill_prior_gen.model import ModelIdentity
from distill_prior_gen.networks.vqvae import STRIDE
from distill_prior_gen.result import GenerationResult
from distill_prior_gen.sampling.continuous_layout import ContinuousLayout
from distill_prior_gen.store.saved_take import SavedTake
from distill_prior_gen.store.words import format_course, format_value, setting_phrases
from distill_prior_gen.ui.library import DEMO
from distill_prior_gen.ui.settings import DESCRIPTOR_LABELS

STAR = "\u2605 "
"""What the names of starred takes begin with."""

OPTIONS = {"temperature": "-t", "duration": "-d", "seed": "-s"}
"""Options of ``distill-prior sample`` that are shorter than the name of their field."""


@dataclass(eq=False)
class Take:
    """A take, and what it was made from.

    Attributes:
        number: number of the take in its session, from 1; 0 for an edited take that is not kept.
        result: the sound and its settings.
        model: the model that made the take.
        model_key: identifier of the model in the list of models.
        spectrogram: spectrogram settings of the model.
        rows: number of rows of the model's code map.
        usage: how often the recordings of the model use each code, see `PriorModel.code_usage`.
        origin: which takes it was edited from, or "".
        made_at: time at which the take was made, on the clock of `time.monotonic`.
        picture: a small PNG of it, once it has been drawn.
    """

    number: int
    result: GenerationResult
    model: ModelIdentity
    model_key: str
    spectrogram: SpectrogramSettings
    rows: int
    usage: list[list[float]]
    origin: str = ""
    made_at: float = field(default_factory=time.monotonic)
    picture: bytes = b""

    @property
    def size(self) -> int:
        """Approximate memory that the take needs, in bytes."""
        result = self.result
        sounds = [edit.sound.nbytes for edit in result.edits if edit.sound is not None]
        maps = [edit.codes.nbytes for edit in result.edits]
        sound = result.audio.nbytes * (3 if result.config.width else 1)
        return int(sound + result.codes.nbytes + sum(sounds) + sum(maps))

    @property
    def title(self) -> str:
        """What the take is called in the origin of others."""
        return f"take {self.number}" if self.number else self.origin

    def column_edges(self) -> list[float]:
        """Seconds at which the columns that can be drawn again begin, and the last one ends.

        The first and the last may lie outside of the take.
        """
        layout, start = self.result.layout, 0.0
        if isinstance(layout, ContinuousLayout):
            start = layout.trim_start / STRIDE
        first = int(start)
        end = math.ceil(len(self.result.audio) / layout.column_samples + start - 1e-6)
        column = layout.column_samples / self.result.sample_rate
        return [(edge - start) * column for edge in range(first, end + 1)]

    def row_edges(self) -> list[float]:
        """Frequencies in Hz at which the rows of the codes begin, and the last one ends."""
        bands = (min(row * STRIDE, self.spectrogram.n_mels) for row in range(self.rows + 1))
        return [self.spectrogram.hertz_at(band) for band in bands]

    @property
    def was_changed(self) -> bool:
        """Whether the take was edited, or was not drawn but made of sound."""
        return bool(self.result.edits or self.result.base)

    @property
    def config(self) -> GenerationConfig:
        """Its settings."""
        return self.result.config

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.result.duration

    @property
    def model_name(self) -> str:
        """Name of its model."""
        return self.model.name

    def cost(self) -> str:
        """How long it took to make, in words; "" if it was opened from the store."""
        seconds = sum(self.result.timings.values())
        if not seconds:
            return ""
        if count := len(self.result.edits):
            return f", {'1 edit' if count == 1 else f'{count} edits, the last'} in {seconds:.1f} s"
        return f" in {seconds:.1f} s ({self.duration / seconds:.1f} times real time)"

    def command(self, full_paths: bool = True) -> str:
        """The command that makes the same take, for an edited one from the sidecar of its export.

        Args:
            full_paths: whether files are named with their folders, so that the command works
                from any folder.
        """
        if self.was_changed:
            name = free_path(Path(), self.model.name, self.result.seed, ExportConfig())
            return "# Download or export the take; its sidecar has the edits. Then:\n" + shlex.join(
                ["distill-prior", "replay", str(sidecar_path(name))]
            )
        words = ["distill-prior", "sample"]
        if self.model_key != DEMO:
            words.append(str(self.model.path) if full_paths else self.model.path.name)
        config = self.result.config
        if config.temperature_end is not None:
            start, end = format_value(config.temperature), format_value(config.temperature_end)
            words += ["--evolve", f"{start}:{end}"]
        for item in fields(GenerationConfig):
            value = getattr(config, item.name)
            evolves = item.name.startswith("temperature") and config.temperature_end is not None
            if value != item.default and not evolves:
                words.append(OPTIONS.get(item.name, f"--{item.name.replace('_', '-')}"))
                if item.name == "prompt" and not full_paths:
                    value = Path(value).name
                if value is not True:
                    course = item.name in DESCRIPTOR_LABELS
                    words.append(format_course(value) if course else format_value(value))
        return shlex.join(words)


Listed = Take | SavedTake
"""A take of the list: in memory, or in the store alone."""


def describe(take: Listed) -> str:
    """Seed, duration, cost and settings of a take, as Markdown."""
    settings = ", ".join(setting_phrases(take.config, take.origin))
    cost = take.cost() if isinstance(take, Take) else ""
    length = f"{round(take.duration, 2):g} s of sound"
    return f"**Seed {take.config.seed}**, {length}{cost}  \n{settings[0].upper()}{settings[1:]}"


def label_takes(takes: Collection[Listed], starred: Collection[int] = ()) -> dict[int, str]:
    """Labels of takes by their numbers: number, seed, and the settings in which they differ."""
    traits = {
        take.number: [
            take.model_name,
            f"{round(take.duration, 2):g} s",
            *setting_phrases(take.config, take.origin),
        ]
        for take in takes
    }
    shared = set.intersection(*map(set, traits.values())) if traits else set()
    return {
        take.number: ", ".join(
            [
                f"{take.number}: {STAR * (take.number in starred)}seed {take.config.seed}",
                *(trait.replace("`", "") for trait in traits[take.number] if trait not in shared),
            ]
        )
        for take in takes
    }
