"""The whole way from a model and settings to takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from numbers import Integral

import torch
from torch import Tensor

from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.config import (
    QUALITIES,
    GenerationConfig,
    Progress,
    no_progress,
    partial_progress,
)
from distill_prior_gen.memory import check_memory
from distill_prior_gen.methods import choose_methods
from distill_prior_gen.model import PriorModel
from distill_prior_gen.plugins import get_registered, samplers, vocoders
from distill_prior_gen.rendering import refuse_exit, render_takes
from distill_prior_gen.result import GenerationResult
from distill_prior_gen.sampling.chunks import UNKNOWN, Chunk
from distill_prior_gen.sampling.continuous_layout import ContinuousLayout
from distill_prior_gen.sampling.layout import Layout, plan_layout
from distill_prior_gen.sampling.prompt import Prompt, read_prompt
from distill_prior_gen.sampling.random_streams import Purpose, new_seed, random_generator
from distill_prior_gen.sampling.takes import draw_chunks, draw_takes
from distill_prior_gen.sampling.timeline import check_steering, choose_sampler
from distill_prior_gen.stopwatch import Stopwatch
from distill_prior_gen.torch_state import take_state

SAMPLING_SHARE = 0.6
"""Fraction of the progress bar that belongs to sampling."""


def generate(
    model: PriorModel, config: GenerationConfig | None = None, progress: Progress | None = None
) -> GenerationResult:
    """Make one take; see `generate_takes`."""
    return next(generate_takes(model, config, 1, progress))


def generate_takes(
    model: PriorModel,
    config: GenerationConfig | None = None,
    count: int = 1,
    progress: Progress | None = None,
) -> Iterator[GenerationResult]:
    """Make takes of ``round(duration * sample_rate)`` samples, whose codes are drawn together.

    Each take is yielded as soon as it is finished. The computation runs in one thread and leaves
    PyTorch's settings as they are, see `torch_state`.

    Args:
        model: from `load_model`.
        config: the settings; None for the defaults. The takes have the seeds ``config.seed``,
            ``config.seed + 1`` and so on, and each equals the take that is made with its seed
            alone.
        count: number of takes.
        progress: called with the fraction that is done and a description of the current work;
            an exception that it raises ends the work.

    Raises:
        ValueError: if there is no such sampler or vocoder, or it returns something invalid; if
            the prompt cannot be read; if settings do not fit the model.
        MemoryError: if the takes need more memory than there is.
        FloatingPointError: if the prior's logits or the samples are not finite.
    """
    if not isinstance(count, Integral) or isinstance(count, bool) or count < 1:
        raise ValueError(f"count must be a whole number of takes from 1, not {count!r}")
    config, layout, prompt = _plan(model, config or GenerationConfig(), count)
    return _draw(model, config, range(config.seed, config.seed + count), layout, prompt, progress)


def generate_from_codes(
    model: PriorModel, config: GenerationConfig, codes: Tensor, progress: Progress | None = None
) -> GenerationResult:
    """Make a take of codes that were drawn before, such as those of an earlier result.

    Args:
        model: the model that the codes were drawn from.
        config: settings of the take, with its seed.
        codes: int64 ``[chunk, H * W, level]``.
        progress: see `generate_takes`.

    Raises:
        ValueError: if a take with these settings has no such codes, and as `generate_takes`.
        MemoryError, FloatingPointError: as `generate_takes`.
    """
    config, layout, prompt = _plan(model, config, 1)
    height, width = model.grid
    if isinstance(layout, ContinuousLayout) and layout.chunks == 1:
        width = layout.chunk_ends[0]
    expected = (layout.chunks, height * width, model.num_quantizers)
    if codes.shape != expected or int(codes.max()) >= model.codebook_size:
        raise ValueError(f"the codes are not those of a take of {model.name} with these settings")
    return next(render_takes(model, config, layout, prompt, codes[None], progress or no_progress))


def _plan(
    model: PriorModel, config: GenerationConfig, count: int
) -> tuple[GenerationConfig, Layout, Prompt | None]:
    """Settings with a seed and the names of a sampler and a vocoder, the layout, the prompt."""
    config = choose_methods(model, config)
    check_steering(model, config)
    sampler = get_registered("sampler", config.sampler, samplers())
    get_registered("vocoder", config.vocoder, vocoders())
    check_memory(model, config, count)
    with take_state(model.device):
        prompt = read_prompt(model, config, sampler.whole) if config.prompt else None
    return config, plan_layout(model, config, sampler.continues, prompt, sampler.whole), prompt


def _draw(
    model: PriorModel,
    config: GenerationConfig,
    seeds: Sequence[int],
    layout: Layout,
    prompt: Prompt | None,
    progress: Progress | None,
) -> Iterator[GenerationResult]:
    """The takes of `generate_takes`, one for each seed."""
    report = progress or no_progress
    sampler = get_registered("sampler", config.sampler, samplers())
    stopwatch = Stopwatch(model.device)
    with (
        take_state(model.device),
        stopwatch("sample"),
        refuse_exit("sampler", config.sampler),
    ):
        sampling = partial_progress(report, 0.0, SAMPLING_SHARE)
        codes = draw_takes(sampler, model, config, seeds, layout, prompt, sampling)
    shared = stopwatch.seconds["sample"] / len(seeds)
    rendering = partial_progress(report, SAMPLING_SHARE, 1.0)
    for result in render_takes(model, config, layout, prompt, codes, rendering):
        yield replace(result, timings={"sample": shared, **result.timings})


def sample_codes(
    model: PriorModel,
    num_chunks: int,
    config: GenerationConfig | None = None,
    progress: Progress | None = None,
) -> Tensor:
    """Draw the codes of chunks that do not depend on each other.

    Returns:
        int64 ``[num_chunks, H * W * num_quantizers]``, in the prior's order: position by position
        (lowest frequency band first), with the quantizer levels of a position next to each other.
    """
    config = config or GenerationConfig()
    seed = new_seed() if config.seed is None else config.seed
    sampler = get_registered("sampler", choose_sampler(model, config.sampler), samplers())
    height, width = model.grid
    unknown = torch.full((height * width, model.num_quantizers), UNKNOWN)
    temperature = config.per_level("temperature", model.num_quantizers)
    chunks = [
        Chunk(random_generator(seed, Purpose.CODES, number), unknown, temperature)
        for number in range(num_chunks)
    ]
    with take_state(model.device):
        return draw_chunks(sampler, model, config, chunks, progress or no_progress).flatten(1)


def invert_mel(
    mel: Tensor,
    spectrogram: SpectrogramSettings,
    vocoder: str = GenerationConfig.vocoder,
    quality: str = GenerationConfig.quality,
    seed: int = 0,
) -> Tensor:
    """Turn a log-mel spectrogram into a waveform.

    Args:
        mel: log1p mel power, float32 ``[n_mels, frames]``, or ``[take, n_mels, frames]``, which
            are inverted with the seeds `seed`, ``seed + 1`` and so on.
        spectrogram: its settings, such as ``model.spectrogram``.
        vocoder: name of the method.
        quality: one of `QUALITIES`.
        seed: seed of the noise that the waveform starts from.

    Returns:
        float32 ``[(frames - 1) * hop_length]``, or ``[take, (frames - 1) * hop_length]``.

    Raises:
        ValueError: if there is no such vocoder or quality.
    """
    chosen = get_registered("vocoder", vocoder, vocoders())
    if quality not in QUALITIES:
        raise ValueError(f"quality must be one of {', '.join(QUALITIES)}, not {quality!r}")
    if mel.dim() == 3:
        takes = [
            invert_mel(take, spectrogram, vocoder, quality, seed + index)
            for index, take in enumerate(mel)
        ]
        return torch.stack(takes)
    with take_state(mel.device):
        generator = random_generator(seed, Purpose.PHASE)
        arguments = {"conditioning": None} if chosen.conditioned else {}
        return chosen.invert(mel, spectrogram, generator, quality, no_progress, **arguments)
