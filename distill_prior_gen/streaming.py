"""Sound without end, in bounded memory."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from distill_prior_gen.audio.joining import FADE_IN_S, rising_fade
from distill_prior_gen.config import DESCRIPTORS, GenerationConfig, no_progress
from distill_prior_gen.model import PriorModel
from distill_prior_gen.networks.vqvae import STRIDE
from distill_prior_gen.neural_vocoder import choose_vocoder
from distill_prior_gen.plugins import get_registered, samplers, vocoders
from distill_prior_gen.rendering import refuse_exit
from distill_prior_gen.result import GenerationResult
from distill_prior_gen.sampling.chunks import Settings
from distill_prior_gen.sampling.continuous_layout import ContinuousLayout
from distill_prior_gen.sampling.endless import endless_columns
from distill_prior_gen.sampling.prompt import read_prompt
from distill_prior_gen.sampling.random_streams import Purpose, new_seed, random_generator
from distill_prior_gen.sampling.timeline import check_steering, choose_sampler
from distill_prior_gen.torch_state import take_state
from distill_prior_gen.vocoding import Inversion, map_conditioning

PIECE_S = 2.0
"""Length of a piece."""

MARGIN_WINDOWS = 16
"""Windows on both sides of a piece that are rendered with it. With them, its samples differ by less
than -80 dB from those that a take has there, at every quality."""


LIVE = ("temperature", "top_p", "top_k", "min_p", "wander", *DESCRIPTORS, "vocoder", "quality")
"""Settings that may change while the sound goes on."""

Current = Callable[[], GenerationConfig]
"""Tells the settings that hold now, of which those of `LIVE` count."""


def stream(
    model: PriorModel, config: GenerationConfig | None = None, current: Current | None = None
) -> Iterator[np.ndarray]:
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

    Yields:
        float32 ``[samples]`` within -1 and 1, pieces of `PIECE_S` seconds that follow each other.

    Raises:
        ValueError: if a setting needs an end, or `width` is not 0; if the sampler cannot go on
            without an end; and as `generate_takes`.
        FloatingPointError: as `generate_takes`.
    """
    config = _resolve(model, config or GenerationConfig())
    settings = _settings(model, config, current, 0)
    columns, skipped = _columns(model, config, settings)
    return _quiet_enough(_pieces(model, config, settings, columns, skipped), 1.0)


def play_on(
    model: PriorModel, take: GenerationResult, current: Current | None = None
) -> tuple[int, Iterator[np.ndarray]]:
    """Let a take go on without end.

    Args:
        model: the model of the take.
        take: a take that was drawn and not edited. Its end is replaced by what leads on.
        current: asked for the settings of what follows the take, as by `stream`; None for those of
            the take.

    Returns:
        The sample of the take at which the sound begins, and pieces of it as from `stream`.

    Raises:
        ValueError: if the take was not drawn, or was edited; and as `stream`.
    """
    layout = take.layout
    if take.base or take.edits or not isinstance(layout, ContinuousLayout):
        raise ValueError("only a take of one code map that was not edited can go on")
    config = _resolve(model, take.config)
    hop, window, length = _frames(model)
    frames = len(take.audio) // hop
    held = math.ceil((frames + layout.trim_start) / STRIDE) + 1
    settings = _settings(model, config, current, held)
    columns, skipped = _columns(model, config, settings)
    unscaled = torch.from_numpy(take.audio / take.gain)
    # The end of the take was rendered without what follows.
    start = max(0, frames - MARGIN_WINDOWS * window) // length * length
    first = max(0, start - length)
    tail = unscaled[start * hop :][: window * hop if start else 0]
    rest = _pieces(model, config, settings, columns, skipped, start, tail)
    kept = [unscaled[first * hop : start * hop]] if start else []
    return first * hop, _quiet_enough(itertools.chain(kept, rest), take.gain)


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
    return _resolve(model, wanted)


def _resolve(model: PriorModel, config: GenerationConfig) -> GenerationConfig:
    """Settings with a seed and the names of the methods that are used, which were checked."""
    _check_endless(config)
    config = replace(
        config,
        seed=new_seed() if config.seed is None else config.seed,
        sampler=choose_sampler(model, config.sampler),
        vocoder=choose_vocoder(model, config.vocoder),
    )
    check_steering(model, config)
    for field in ("temperature", "top_k", "top_p"):
        config.per_level(field, model.num_quantizers)
    get_registered("vocoder", config.vocoder, vocoders())
    return config


def _settings(
    model: PriorModel, config: GenerationConfig, current: Current | None, held: int
) -> Settings:
    """Settings that do not change before the column `held`."""

    def settings(column: int) -> GenerationConfig:
        if current is None or column < held:
            return config
        return live_settings(model, config, current())

    return settings


def _columns(
    model: PriorModel, config: GenerationConfig, settings: Settings
) -> tuple[Iterator[Tensor], int]:
    """Columns of codes without end, and the frames at their beginning that are not heard."""
    sampler = get_registered("sampler", config.sampler, samplers())
    beginning = torch.empty(model.grid[0], 0, model.num_quantizers, dtype=torch.int64)
    skipped = 0
    if config.prompt:
        with take_state(model.device):
            prompt = read_prompt(model, config, sampler.whole)
        beginning = prompt.codes
        skipped = prompt.unheard(model) // model.spectrogram.hop_length
    return endless_columns(sampler, model, config, beginning, settings), skipped


def _frames(model: PriorModel) -> tuple[int, int, int]:
    """Samples of a frame, frames of a window, and frames of a piece."""
    hop = model.spectrogram.hop_length
    length = max(1, round(PIECE_S * model.sample_rate / hop))
    return hop, math.ceil(model.spectrogram.n_fft / hop), length


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


def _pieces(
    model: PriorModel,
    config: GenerationConfig,
    settings: Settings,
    columns: Iterator[Tensor],
    skipped: int,
    first_frame: int = 0,
    tail: Tensor | None = None,
) -> Iterator[Tensor]:
    """Pieces of sound, whose peaks may be anything and which begin without a click.

    Each is rendered with margins on both sides, from the noise that a take has there, so that the
    pieces fit together. They overlap by a window, in which they are crossfaded.

    Args:
        model: the model.
        config: settings with a seed.
        settings: those of what begins at a column.
        columns: columns of codes without end.
        skipped: frames at the beginning that are not heard.
        first_frame: frame at which the first piece begins.
        tail: what was heard from there on, one window, to fade from.

    Yields:
        float32 ``[samples]``, on the CPU.
    """
    assert config.seed is not None
    hop, window, length = _frames(model)
    noise, noise_begin = random_generator(config.seed, Purpose.PHASE), 0
    tail = torch.empty(0) if tail is None else tail
    code_map = torch.empty(model.grid[0], 0, model.num_quantizers, dtype=torch.int64)
    first = -skipped  # frame of the first column of the code map
    for start in itertools.count(first_frame, length):
        begin = max(0, start - MARGIN_WINDOWS * window)
        end = start + length + window + MARGIN_WINDOWS * window + 1
        with take_state(model.device):
            # The frames of a column depend on the next column, too.
            while first + (code_map.shape[1] - 1) * STRIDE < end:
                with refuse_exit("sampler", config.sampler):
                    code_map = torch.cat([code_map, next(columns)], dim=1)
            passed = (begin - first) // STRIDE
            code_map, first = code_map[:, passed:], first + passed * STRIDE
            noise.standard_normal((begin - noise_begin) * hop, dtype=np.float32)
            noise_begin = begin
            frames = slice(begin - first, end - first)
            now = settings((start + skipped) // STRIDE)
            sound = _render(model, now, code_map, frames, copy.deepcopy(noise))
            sound = sound[(start - begin) * hop :][: (length + window) * hop].clone()
            if start == 0:
                rise = min(round(FADE_IN_S * model.sample_rate), len(sound))
                sound[:rise] *= rising_fade(rise)
            else:
                sound[: len(tail)] = torch.lerp(tail, sound[: len(tail)], rising_fade(len(tail)))
            sound, tail = sound[: length * hop], sound[length * hop :]
        yield sound


def _render(
    model: PriorModel,
    config: GenerationConfig,
    code_map: Tensor,
    frames: slice,
    noise: np.random.Generator,
) -> Tensor:
    """The sound of frames of a code map ``[H, column, level]``, float32 ``[samples]``."""
    vocoder = get_registered("vocoder", config.vocoder, vocoders())
    mel = model.decode_map(code_map)[:, frames]
    conditioning = map_conditioning(model, code_map).at(frames) if vocoder.conditioned else None
    inversion = Inversion(mel, model.spectrogram, noise, config.quality, no_progress, conditioning)
    with refuse_exit("vocoder", config.vocoder):
        sound = inversion.invert(vocoder).cpu().float()
    if not sound.isfinite().all():
        raise FloatingPointError(f"vocoder {config.vocoder} gave samples that are not finite")
    return sound


def _quiet_enough(pieces: Iterator[Tensor], gain: float) -> Iterator[np.ndarray]:
    """Pieces within -1 and 1.

    During a piece the gain falls from `gain` to what the next one needs. It does not rise again, as
    it does not within a take.
    """
    piece = next(pieces)
    gain = min(gain, _gain(piece))
    for following in pieces:
        next_gain = min(gain, _gain(following))
        gains = np.linspace(gain, next_gain, len(piece), dtype=np.float32)
        yield (piece.numpy() * gains).clip(-1, 1)
        piece, gain = following, next_gain


def _gain(piece: Tensor) -> float:
    return 1 / max(1.0, float(piece.abs().max()))
