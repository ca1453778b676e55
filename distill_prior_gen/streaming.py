"""Sound without end, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from distill_prior_gen.config import DESCRIPTORS, GenerationConfig
from distill_prior_gen.endless_sound import EndlessSound, endless_pieces
from distill_prior_gen.methods import choose_methods
from distill_prior_gen.model import PriorModel
from distill_prior_gen.plugins import get_registered, samplers, vocoders
from distill_prior_gen.sampling.chunks import Settings
from distill_prior_gen.sampling.endless import endless_columns
from distill_prior_gen.sampling.prompt import read_prompt
from distill_prior_gen.sampling.timeline import check_steering
from distill_prior_gen.torch_state import take_state

LIVE = ("temperature", "top_p", "top_k", "min_p", "wander", *DESCRIPTORS, "vocoder", "quality")
"""Settings that may change while the sound goes on."""

Current = Callable[[], GenerationConfig]
"""Tells the settings that hold now, of which those of `LIVE` count."""


def stream(
    model: PriorModel, config: GenerationConfig | None = None, current: Current | None = None
) -> EndlessSound:
    """Make sound without end.

    It begins as the take with the same settings and seed does. Where a take would be scaled so that
    it does not clip, the sound becomes quieter from there on. Settings of PyTorch are left as with
    `generate_takes`.

    Args:
        model: from `load_model`.
        config: the settings; None for the defaults. `duration`, `overlap` and `join` have no
            effect.
        current: asked for the settings before each column of codes is drawn, or each group of
            chunks where the sampler is no timeline; None for those of `config` throughout.

    Returns:
        Pieces of `PIECE_S` seconds, float32 ``[samples]`` within -1 and 1, that follow each other.

    Raises:
        ValueError: if a setting needs an end, or `width` is not 0; if the sampler cannot go on
            without an end; and as `generate_takes`.
        FloatingPointError: as `generate_takes`.
    """
    config = resolve(model, config or GenerationConfig())
    settings = current_settings(model, config, current)
    columns, skipped = columns_from_start(model, config, settings)
    return EndlessSound(endless_pieces(model, config, settings, columns, skipped), 1.0)


def live_settings(
    model: PriorModel, config: GenerationConfig, asked: GenerationConfig
) -> GenerationConfig:
    """Settings with what is asked for while the sound goes on.

    Args:
        model: the model.
        config: the settings that it began with.
        asked: settings of which those of `LIVE` count.

    Raises:
        ValueError: as `stream`.
    """
    wanted = replace(config, **{name: getattr(asked, name) for name in LIVE})
    return resolve(model, wanted)


def resolve(model: PriorModel, config: GenerationConfig) -> GenerationConfig:
    """Settings with a seed and the names of the methods that are used, which were checked.

    Raises:
        ValueError: as `stream`.
    """
    _check_endless(config)
    config = choose_methods(model, config)
    check_steering(model, config)
    for field in ("temperature", "top_k", "top_p"):
        config.per_level(field, model.num_quantizers)
    get_registered("vocoder", config.vocoder, vocoders())
    return config


def current_settings(
    model: PriorModel, config: GenerationConfig, current: Current | None, held: int = 0
) -> Settings:
    """The settings of each column: those of `config` before the column `held`, then `current`."""

    def settings(column: int) -> GenerationConfig:
        if current is None or column < held:
            return config
        return live_settings(model, config, current())

    return settings


def columns_from_start(
    model: PriorModel, config: GenerationConfig, settings: Settings
) -> tuple[Iterator[Tensor], int]:
    """Columns of codes without end, and the frames at their beginning that are not heard.

    They begin with the prompt, if there is one.
    """
    sampler = get_registered("sampler", config.sampler, samplers())
    beginning = torch.empty(model.grid[0], 0, model.num_quantizers, dtype=torch.int64)
    skipped = 0
    if config.prompt:
        with take_state(model.device):
            prompt = read_prompt(model, config, sampler.whole)
        beginning = prompt.codes
        skipped = prompt.unheard(model) // model.spectrogram.hop_length
    return endless_columns(sampler, model, config, beginning, settings), skipped


def what_needs_an_end(config: GenerationConfig) -> str:
    """The setting that does not go with sound without end, or ""."""
    courses = [name for name in DESCRIPTORS if isinstance(getattr(config, name), tuple)]
    for name in ("temperature_end", "loop", "vary", "prompt_crossfade", *courses):
        value = getattr(config, name)
        if value is not None and value is not False:
            return f"the course of {name}" if name in courses else name
    return "width" if config.width else ""


def _check_endless(config: GenerationConfig) -> None:
    """Refuse settings that need an end.

    Raises:
        ValueError: naming the setting.
    """
    if config.width:
        raise ValueError("sound without end is mono; leave out width")
    if name := what_needs_an_end(config):
        raise ValueError(f"{name} does not go with sound without end; leave it out")
