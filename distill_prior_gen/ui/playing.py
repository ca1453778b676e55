"""A take of the page that goes on while it plays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from distill_prior_gen.audio.joining import FADE_OUT_S, rising_fade
from distill_prior_gen.config import GenerationConfig, no_progress
from distill_prior_gen.editing.code_maps import map_start, round_sound, take_of_base
from distill_prior_gen.endless_sound import PIECE_S
from distill_prior_gen.model import PriorModel
from distill_prior_gen.playing_on import play_on
from distill_prior_gen.result import Base, GenerationResult
from distill_prior_gen.sampling.layout import columns_to_cover
from distill_prior_gen.streaming import LIVE, live_settings
from distill_prior_gen.ui.take import Take

LONGEST_S = 300.0
"""Length of the longest take."""

LONGEST_START_S = 290.0
"""Length of the longest take that can go on."""


class Playing:
    """A take that goes on, as far as its sound was made.

    The settings are those of the take, until a control is moved; from then on that of the control.

    Args:
        model: the model of the take.
        take: the take.
        controls: what the controls were set to when it began.

    Raises:
        ValueError: if the take is too long, or cannot go on; see `play_on`.
    """

    def __init__(self, model: PriorModel, take: Take, controls: GenerationConfig) -> None:
        if take.duration > LONGEST_START_S:
            raise ValueError(f"takes of more than {LONGEST_START_S:g} s cannot go on")
        self.model = model
        self.take = take
        self.controls = controls
        self.moved: set[str] = set()
        self.config = take.config
        self.columns: list[Tensor] = []
        start, self.pieces = play_on(model, take.result, lambda: self.config, self.columns)
        self.sound = take.result.audio[:start]
        self.heard_from = 0

    def follow(self, controls: GenerationConfig) -> None:
        """Take over what the controls are set to.

        Raises:
            ValueError: if the settings do not fit; those before then stay.
        """
        for name in LIVE:
            if getattr(controls, name) != getattr(self.controls, name):
                self.moved.add(name)
        asked = {name: getattr(controls, name) for name in self.moved}
        first = self.take.config
        self.config = live_settings(self.model, first, replace(first, **asked))

    @property
    def is_over(self) -> bool:
        """Whether another piece would make the take too long."""
        return len(self.sound) / self.take.result.sample_rate + PIECE_S > LONGEST_S

    def draw(self) -> np.ndarray:
        """Make the next piece, float32 ``[samples]``."""
        piece = next(self.pieces)
        self.sound = np.concatenate([self.sound, piece])
        return piece

    def heard(self, samples: int, name: str) -> GenerationResult:
        """The take from its beginning to what was heard last, with a short fade.

        Args:
            samples: samples that the page has played.
            name: name of the take.
        """
        sound = self.sound[: max(1, self.heard_from + samples)].copy()
        fall = min(round(FADE_OUT_S * self.take.result.sample_rate), len(sound))
        sound[len(sound) - fall :] *= rising_fade(fall).flip(0).numpy()
        trim_start = map_start(self.take.result)
        codes = torch.cat(self.columns, dim=1)
        codes = codes[:, : columns_to_cover(self.model, len(sound), trim_start)]
        sound = round_sound(sound)
        base = Base(codes, len(sound), trim_start, sound, name, self.pieces.gain)
        return take_of_base(self.model, base, self.config, no_progress)
