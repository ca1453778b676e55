"""Drawing the codes of takes, chunk by chunk or all at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from distill_prior_gen.config import GenerationConfig, Progress
from distill_prior_gen.model import PriorModel
from distill_prior_gen.networks.vqvae import STRIDE
from distill_prior_gen.plugins import Sampler
from distill_prior_gen.sampling.chunks import FREE, Chunk, repeat_columns
from distill_prior_gen.sampling.layout import Layout
from distill_prior_gen.sampling.prompt import Prompt
from distill_prior_gen.sampling.random_streams import CODES, VARIATION, stream


def draw_takes(
    sampler: Sampler,
    model: PriorModel,
    configs: Sequence[GenerationConfig],
    layout: Layout,
    prompt: Prompt | None,
    progress: Progress,
) -> Tensor:
    """Codes of takes that differ in nothing but their seeds, ``[take, chunk, H * W, level]``.

    Raises:
        ValueError: if the sampler gives what it should not, or settings do not fit the model.
    """
    (height, width), levels = model.grid, model.num_quantizers
    for field in ("top_k", "top_p"):
        configs[0].per_level(field, levels)
    repeats = layout.repeats(width)
    chunks = []
    for take, config in enumerate(configs):
        held = torch.full((layout.chunks, height, width, levels), FREE)
        if prompt:
            held[0, :, : prompt.codes.shape[1]] = prompt.codes
            if config.vary is not None:
                held[0, _forgotten(config, model, prompt)] = FREE
        chunks += [
            Chunk(
                stream(config.seed or 0, CODES, number),
                held[number].flatten(0, 1),
                _temperature(config, levels, number / max(1, layout.chunks - 1)),
                {
                    column: take * layout.chunks * width + source
                    for column, source in repeats[number].items()
                },
            )
            for number in range(layout.chunks)
        ]
    if sampler.at_once or not sampler.continues:
        return draw_chunks(sampler, model, configs[0], chunks, progress).unflatten(
            0, (len(configs), layout.chunks)
        )
    codes = torch.stack([chunk.held for chunk in chunks])
    maps = codes.view(len(chunks), height, width, levels)
    for number in range(layout.chunks):

        def report(share: float, text: str, number: int = number) -> None:
            text = f"Generating chunk {number + 1}/{layout.chunks}..."
            progress((number + share) / layout.chunks, text)

        these = list(range(number, len(chunks), layout.chunks))
        for chunk in these:
            repeat_columns(maps, chunk, chunks[chunk].repeats)
        ready = [replace(chunks[chunk], held=codes[chunk], repeats={}) for chunk in these]
        codes[these] = draw_chunks(sampler, model, configs[0], ready, report)
    return codes.unflatten(0, (len(configs), layout.chunks))


def draw_chunks(
    sampler: Sampler,
    model: PriorModel,
    config: GenerationConfig,
    chunks: Sequence[Chunk],
    progress: Progress,
) -> Tensor:
    """What the sampler draws, checked: int64 ``[chunk, H * W, level]``."""
    codes = sampler.draw(model, config, chunks, progress).cpu()
    held = torch.stack([chunk.held for chunk in chunks])
    if codes.shape != held.shape or codes.dtype != torch.int64:
        raise ValueError(
            f"sampler {config.sampler} gave {codes.dtype} {list(codes.shape)} "
            f"instead of int64 {list(held.shape)}"
        )
    if codes.numel() and not 0 <= int(codes.min()) <= int(codes.max()) < model.codebook_size:
        raise ValueError(f"sampler {config.sampler} gave codes that are not in the codebook")
    kept = codes.where(held == FREE, held)
    for number, chunk in enumerate(chunks):
        repeat_columns(kept.view(-1, *model.grid, kept.shape[-1]), number, chunk.repeats)
    if not codes.equal(kept):
        raise ValueError(f"sampler {config.sampler} changed codes that are held")
    return codes


def _temperature(config: GenerationConfig, levels: int, share: float) -> tuple[float, ...]:
    """Of each level, where so much of the take has passed."""
    start = config.per_level("temperature", levels)
    if config.temperature_end is None:
        return start
    end = config.per_level("temperature_end", levels)
    return tuple(a + share * (b - a) for a, b in zip(start, end, strict=True))


def _forgotten(config: GenerationConfig, model: PriorModel, prompt: Prompt) -> Tensor:
    """Where the prompt's codes are drawn anew, bool ``[H, W]``: ``config.vary`` of them.

    All levels of a position are drawn, since each is what those above it leave over. What
    is forgotten with a smaller share is forgotten with a larger one too.
    """
    assert config.vary is not None
    frames = model.spectrogram.frames(len(prompt.samples))
    height, columns = model.grid[0], min(model.grid[1], math.ceil(frames / STRIDE))
    order = stream(config.seed or 0, VARIATION).permutation(height * columns)
    forgotten = torch.zeros(model.grid, dtype=torch.bool)
    chosen = torch.from_numpy(order[: round(config.vary * len(order))])
    forgotten[chosen // columns, chosen % columns] = True
    return forgotten
