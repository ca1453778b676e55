"""Code maps of any length: of recordings, of takes, and back to sound."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from distill_prior_gen.config import GENERATION_LIMITS, GenerationConfig, Progress, no_progress
from distill_prior_gen.methods import choose_methods
from distill_prior_gen.model import PriorModel
from distill_prior_gen.networks.vqvae import STRIDE
from distill_prior_gen.plugins import get_registered, vocoders
from distill_prior_gen.rendering import render_takes
from distill_prior_gen.result import MIN_GAIN, Base, GenerationResult
from distill_prior_gen.sampling.continuous_layout import ContinuousLayout
from distill_prior_gen.sampling.layout import columns_to_cover, map_layout
from distill_prior_gen.torch_state import take_state
from distill_prior_gen.validation import check_number

PIECE_COLUMNS = 64
"""Columns that are encoded at once."""

MARGIN_COLUMNS = 3
"""Columns on both sides that an encoded column depends on, at most."""

SOUND_STEP = MIN_GAIN
"""Step of the samples of recordings, which 24-bit files hold exactly."""


def encode(model: PriorModel, samples: np.ndarray | Tensor) -> Tensor:
    """Encode sound of any length as a code map.

    Args:
        model: from `load_model`.
        samples: float32 ``[samples]`` at ``model.sample_rate``. Recordings were scaled in training
            so that their largest sample is 1.

    Returns:
        int64 ``[row, column, level]``, rows from low to high frequencies. There is one more column
        than the sound fills, since the sound of a column depends on the next one.

    Raises:
        ValueError: if there are no samples, or some are not finite.
    """
    wave = torch.as_tensor(samples, dtype=torch.float32)
    if wave.dim() != 1 or not len(wave) or not wave.isfinite().all():
        raise ValueError("samples must be one row of finite numbers")
    spectrogram = model.spectrogram
    columns = columns_to_cover(model, len(wave))
    silence = columns * STRIDE * spectrogram.hop_length + spectrogram.n_fft - len(wave)
    with take_state(model.device):
        mel = spectrogram.log_mel(F.pad(wave, (0, silence)))
        pieces = []
        for first in range(0, columns, PIECE_COLUMNS):
            begin, last = max(0, first - MARGIN_COLUMNS), min(first + PIECE_COLUMNS, columns)
            end = min(last + MARGIN_COLUMNS, columns)
            codes = model.encode(mel[None, :, begin * STRIDE : end * STRIDE])[0]
            codes = codes.unflatten(0, (model.grid[0], -1))
            pieces.append(codes[:, first - begin : last - begin])
    return torch.cat(pieces, dim=1)


def decode(
    model: PriorModel,
    codes: Tensor,
    config: GenerationConfig | None = None,
    samples: int | None = None,
    trim_start: int = 0,
    progress: Progress | None = None,
) -> GenerationResult:
    """Turn a code map into a take.

    Args:
        model: the model of the codes.
        codes: int64 ``[row, column, level]``, rows from low to high frequencies.
        config: vocoder, quality and seed; None for the defaults.
        samples: length of the take; None for all columns but the last, which is only led up to.
        trim_start: frames at the beginning that are left out.
        progress: called with the fraction that is done and a description of the current work.

    Raises:
        ValueError: if the codes are not those of such a model, or it has no such vocoder.
    """
    check_codes(model, codes)
    hop, frames = model.spectrogram.hop_length, codes.shape[1] * STRIDE
    check_number("trim_start", trim_start, 0, frames - 2, whole=True)
    longest = (frames - 1 - trim_start) * hop
    if samples is None:
        samples = max(1, frames - STRIDE - trim_start) * hop
    if not 0 < samples <= longest:
        raise ValueError(
            f"{codes.shape[1]} columns of codes are a take of 1 to {longest} samples, not {samples}"
        )
    base = Base(codes, samples, trim_start)
    return _base_take(model, base, config or GenerationConfig(), progress or no_progress)


def take_of_base(
    model: PriorModel, base: Base, config: GenerationConfig, progress: Progress
) -> GenerationResult:
    """The take that was made of codes or of a recording.

    Raises:
        ValueError: as `decode`.
    """
    if base.sound is None:
        return decode(model, base.codes, config, base.samples, base.trim_start, progress)
    check_codes(model, base.codes)
    layout = map_layout(model, base.codes.shape[1], base.samples, base.trim_start)
    flat = base.codes.flatten(0, 1)[None]
    with take_state(model.device):
        mel = layout.decode(model, flat).cpu()
    return GenerationResult(
        audio=base.sound,
        sample_rate=model.sample_rate,
        config=_base_config(model, base, config),
        codes=flat,
        mel=mel,
        layout=layout,
        prompt=None,
        gain=base.gain,
        timings={},
        base=base,
    )


def take_of_sound(
    model: PriorModel, sound: np.ndarray, name: str, config: GenerationConfig | None = None
) -> GenerationResult:
    """A recording as a take, whose codes can be edited.

    Args:
        model: from `load_model`.
        sound: float32 ``[samples]`` at ``model.sample_rate``.
        name: name of the recording.
        config: settings that edits start from.

    Returns:
        The take, whose `gain` is the largest sample. Its codes are those of the sound without that
        gain, as in training.
    """
    rounded = round_sound(sound)
    gain = max(float(np.abs(rounded).max()), SOUND_STEP)
    base = Base(encode(model, rounded / gain), len(rounded), 0, rounded, name, gain)
    return take_of_base(model, base, config or GenerationConfig(), no_progress)


def round_sound(sound: np.ndarray) -> np.ndarray:
    """The nearest samples that a 24-bit file holds exactly, float32 ``[samples]``."""
    rounded = np.round(sound / SOUND_STEP) * SOUND_STEP
    return rounded.clip(-1, 1 - SOUND_STEP).astype(np.float32)


def check_codes(model: PriorModel, codes: Tensor) -> None:
    """Make sure that codes are a code map of a model.

    Raises:
        ValueError: if they are not.
    """
    rows, levels, size = model.grid[0], model.num_quantizers, model.codebook_size
    if codes.dtype != torch.int64 or codes.dim() != 3:
        raise ValueError("codes must be int64 [row, column, level]")
    if (codes.shape[0], codes.shape[2]) != (rows, levels) or not codes.shape[1]:
        raise ValueError(
            f"codes of {model.name} are [{rows}, columns, {levels}], not {list(codes.shape)}"
        )
    if not 0 <= int(codes.min()) <= int(codes.max()) < size:
        raise ValueError(f"codes of {model.name} are from 0 to {size - 1}")


def code_map(model: PriorModel, take: GenerationResult) -> tuple[ContinuousLayout, Tensor]:
    """The code map of a take, int64 ``[row, column, level]``, and where the take lies on it.

    A take of independent chunks has no common map; it gets that of its sound.
    """
    if isinstance(take.layout, ContinuousLayout):
        chunks = take.codes.unflatten(1, (model.grid[0], -1))
        return take.layout, take.layout.code_map(chunks)
    codes = encode(model, take.audio / take.gain)
    return map_layout(model, codes.shape[1], len(take.audio)), codes


def map_start(take: GenerationResult) -> int:
    """Frames of the code map of a take before its first sample."""
    return take.layout.trim_start if isinstance(take.layout, ContinuousLayout) else 0


def codes_on_grid(model: PriorModel, take: GenerationResult, start: int, gain: float) -> Tensor:
    """Code map of a take whose sound begins at a sample of the map.

    These are the codes of the take if its columns lie on the map, else those of its sound.

    Args:
        model: the model.
        take: the take.
        start: sample of the map at which the sound begins.
        gain: that of the map, see `GenerationResult.gain`.
    """
    layout, column = take.layout, STRIDE * model.spectrogram.hop_length
    if isinstance(layout, ContinuousLayout) and gain == take.gain and not layout.loop:
        begin = start - layout.trim_start * model.spectrogram.hop_length
        if begin % column == 0:
            codes = code_map(model, take)[1]
            first = begin // column
            return codes[:, -first:] if first < 0 else F.pad(codes, (0, 0, first, 0))
    wave = torch.from_numpy(take.audio) / gain
    first = start // column
    codes = encode(model, F.pad(wave, (start - first * column, 0)))
    return F.pad(codes, (0, 0, first, 0))


def _base_take(
    model: PriorModel, base: Base, config: GenerationConfig, progress: Progress
) -> GenerationResult:
    settings = _base_config(model, base, config)
    get_registered("vocoder", settings.vocoder, vocoders())
    layout = map_layout(model, base.codes.shape[1], base.samples, base.trim_start)
    codes = base.codes.flatten(0, 1)[None, None]
    take = next(render_takes(model, settings, layout, None, codes, progress))
    return replace(take, base=base)


def _base_config(model: PriorModel, base: Base, config: GenerationConfig) -> GenerationConfig:
    """Settings of a take that was not drawn, which edits of it start from."""
    shortest = GENERATION_LIMITS["duration"][0]
    whole: dict[str, Any] = {
        name: getattr(GenerationConfig, name)
        for name in ("prompt", "prompt_crossfade", "vary", "loop", "like")
    }
    return replace(
        choose_methods(model, config),
        duration=max(shortest, base.samples / model.sample_rate),
        allow_long=True,
        **whole,
    )
