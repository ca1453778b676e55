"""The takes of one browser session."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np

from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.config import GenerationConfig
from distill_prior_gen.generation import GenerationResult
from distill_prior_gen.model import ModelIdentity
from distill_prior_gen.ui.library import DEMO

KEPT = 20
"""Takes that a session keeps; the oldest goes first."""

OPTIONS = {"temperature": "-t", "duration": "-d", "seed": "-s"}
"""Fields whose option of ``distill-prior sample`` is not called after them."""


@dataclass(eq=False)
class Take:
    """A take, and what it was made from.

    Attributes:
        number: counts the takes of the session, from 1.
        result: the sound and its settings.
        model: that made it.
        model_key: identifies the model in the list of models.
        spectrogram: settings of the model.
        grid: rows and columns of the model's code map.
        seconds: that making it took.
        picture: of the take once it was drawn, see `ui.pictures.pixels`.
    """

    number: int
    result: GenerationResult
    model: ModelIdentity
    model_key: str
    spectrogram: SpectrogramSettings
    grid: tuple[int, int]
    seconds: float
    picture: np.ndarray | None = None

    @property
    def label(self) -> str:
        return (
            f"{self.number}: {self.model.name}, {self.result.duration:g} s, seed {self.result.seed}"
        )

    def in_words(self) -> str:
        """Seed, duration, cost and settings, as Markdown."""
        config, duration = self.result.config, self.result.duration
        nucleus = f"{config.top_p:g}" if 0 < config.top_p < 1 else "off"
        return (
            f"**Seed {config.seed}**, {duration:g} s of sound in {self.seconds:.1f} s "
            f"({duration / self.seconds:.1f} times real time)  \n"
            f"Temperature {config.temperature:g}, top-p {nucleus}, top-k {config.top_k or 'off'}, "
            f"min-p {config.min_p or 'off'}, "
            f"overlap {config.overlap:g} ms, {config.join} join, {config.sampler} sampler, "
            f"{config.vocoder} ({config.quality})"
        )

    def command(self) -> str:
        """What makes the same take on the command line."""
        words = ["distill-prior", "sample"]
        if self.model_key != DEMO:
            words.append(str(self.model.path))
        for item in fields(GenerationConfig):
            value = getattr(self.result.config, item.name)
            if value != item.default:
                option = OPTIONS.get(item.name, f"--{item.name.replace('_', '-')}")
                words += [option, str(value).removesuffix(".0")]
        return shlex.join(words)


@dataclass
class Session:
    """What one browser session has uploaded and made."""

    uploads: dict[str, Path] = field(default_factory=dict)
    takes: dict[int, Take] = field(default_factory=dict)
    made: int = 0

    def add(self, take: Take) -> None:
        self.made = take.number
        self.takes[take.number] = take
        for oldest in list(self.takes)[:-KEPT]:
            del self.takes[oldest]
