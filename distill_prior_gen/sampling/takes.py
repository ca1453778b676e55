"""Drawing the codes of several takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from distill_prior_gen.config import GenerationConfig, Progress
from distill_prior_gen.model import PriorModel
from distill_prior_gen.networks.vqvae import STRIDE
from distill_prior_gen.sampling.chunks import (
    UNKNOWN,
    Chunk,
    CodeColumn,
    Sampler,
    copy_shared_columns,
    temperatures,
)
from distill_prior_gen.sampling.continuous_layout import ContinuousLayout
from distill_prior_gen.sampling.layout import Layout
from distill_prior_gen.sampling.prompt import Prompt
from distill_prior_gen.sampling.random_streams import Purpose, random_generator


def draw_takes(
    sampler: Sampler,
    model: PriorModel,
    config: GenerationConfig,
    seeds: Sequence[int],
    layout: Layout,
    prompt: Prompt | None,
    progress: Progress,
) -> Tensor:
    """Draw the codes of takes with the same settings and different seeds.

    Returns:
        int64 ``[take, chunk, H * W, level]``.

    Raises:
        ValueError: if the sampler returns something invalid, or settings do not fit the model.
    """
    for field in ("top_k", "top_p"):
        config.per_level(field, model.num_quantizers)
    chunks = [
        chunk
        for take, seed in enumerate(seeds)
        for chunk in _take_chunks(model, config, seed, layout, prompt, take * layout.chunks)
    ]
    if sampler.whole or sampler.at_once or not sampler.continues:
        codes = draw_chunks(sampler, model, config, chunks, progress)
    else:
        codes = draw_in_order(sampler, model, config, chunks, layout.chunks, progress)
    return codes.unflatten(0, (len(seeds), layout.chunks))


def _take_chunks(
    model: PriorModel,
    config: GenerationConfig,
    seed: int,
    layout: Layout,
    prompt: Prompt | None,
    first: int,
) -> list[Chunk]:
    """The chunks of a take, which are numbered from `first` among those of all takes."""
    (height, width), levels = model.grid, model.num_quantizers
    if isinstance(layout, ContinuousLayout) and layout.chunks == 1:
        width = layout.chunk_ends[0]
    fixed = torch.full((layout.chunks, height, width, levels), UNKNOWN)
    if prompt:
        fixed[0, :, : prompt.codes.shape[1]] = prompt.codes
        if config.vary is not None:
            fixed[0, _variation_mask(config.vary, seed, model, prompt)] = UNKNOWN
    return [
        Chunk(
            generator=random_generator(seed, Purpose.CODES, number),
            fixed=fixed[number].flatten(0, 1),
            temperature=temperatures(config, levels, number / max(1, layout.chunks - 1)),
            shared_columns={
                column: CodeColumn(first + source.chunk, source.column)
                for column, source in shared.items()
            },
        )
        for number, shared in enumerate(layout.shared_columns(width))
    ]


def draw_in_order(
    sampler: Sampler,
    model: PriorModel,
    config: GenerationConfig,
    chunks: Sequence[Chunk],
    take_chunks: int,
    progress: Progress,
) -> Tensor:
    """Draw the first chunk of all takes, then the second, and so on.

    Args:
        sampler: it continues chunks, but knows nothing of shared columns.
        model, config: what it draws from.
        chunks: those of all takes, take after take.
        take_chunks: chunks of a take.
        progress: called before each chunk.

    Returns:
        int64 ``[chunk, H * W, level]``.
    """
    codes = torch.stack([chunk.fixed for chunk in chunks])
    maps = codes.view(len(chunks), *model.grid, -1)  # the same memory
    for number in range(take_chunks):

        def report(share: float, text: str, number: int = number) -> None:
            text = f"Generating chunk {number + 1}/{take_chunks}..."
            progress((number + share) / take_chunks, text)

        indices = list(range(number, len(chunks), take_chunks))
        for index in indices:
            copy_shared_columns(maps, index, chunks[index].shared_columns)
        ready = [replace(chunks[i], fixed=codes[i], shared_columns={}) for i in indices]
        codes[indices] = draw_chunks(sampler, model, config, ready, report)
    return codes


def draw_chunks(
    sampler: Sampler,
    model: PriorModel,
    config: GenerationConfig,
    chunks: Sequence[Chunk],
    progress: Progress,
) -> Tensor:
    """Call a sampler and check what it returns: int64 ``[chunk, H * W, level]``.

    Raises:
        ValueError: if it is not that, not codes of the model, or changes codes that are fixed.
    """
    codes = sampler.draw(model, config, chunks, progress).cpu()
    fixed = torch.stack([chunk.fixed for chunk in chunks])
    if codes.shape != fixed.shape or codes.dtype != torch.int64:
        raise ValueError(
            f"sampler {config.sampler} gave {codes.dtype} {list(codes.shape)} "
            f"instead of int64 {list(fixed.shape)}"
        )
    if codes.numel() and not 0 <= int(codes.min()) <= int(codes.max()) < model.codebook_size:
        raise ValueError(f"sampler {config.sampler} gave codes that are not in the codebook")
    expected = codes.where(fixed == UNKNOWN, fixed)
    maps = expected.unflatten(1, (model.grid[0], -1))
    for number, chunk in enumerate(chunks):
        copy_shared_columns(maps, number, chunk.shared_columns)
    if not codes.equal(expected):
        raise ValueError(f"sampler {config.sampler} changed codes that are fixed")
    return codes


def _variation_mask(vary: float, seed: int, model: PriorModel, prompt: Prompt) -> Tensor:
    """Positions of a prompt that are drawn again, bool ``[H, W]``: a fraction `vary` of them.

    All levels of a position are drawn together, since each encodes the residual of the previous
    ones. Masks are nested: positions drawn again at a small `vary` are also drawn at a larger one.
    """
    frames = model.spectrogram.frames(len(prompt.samples))
    height, columns = model.grid[0], min(model.grid[1], math.ceil(frames / STRIDE))
    order = random_generator(seed, Purpose.VARIATION).permutation(height * columns)
    chosen = torch.from_numpy(order[: round(vary * len(order))])
    mask = torch.zeros(model.grid, dtype=torch.bool)
    mask[chosen // columns, chosen % columns] = True
    return mask
