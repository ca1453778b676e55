"""Takes that go on without end."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from distill_prior_gen.config import GenerationConfig
from distill_prior_gen.editing.code_maps import MARGIN_COLUMNS, code_map
from distill_prior_gen.editing.levels import match_margins
from distill_prior_gen.editing.splicing import splice
from distill_prior_gen.endless_sound import (
    MARGIN_WINDOWS,
    EndlessSound,
    endless_pieces,
    piece_frames,
)
from distill_prior_gen.model import PriorModel
from distill_prior_gen.networks.vqvae import STRIDE
from distill_prior_gen.plugins import get_registered, samplers
from distill_prior_gen.result import GenerationResult
from distill_prior_gen.sampling.chunks import Settings
from distill_prior_gen.sampling.continuous_layout import ContinuousLayout
from distill_prior_gen.sampling.endless import endless_columns
from distill_prior_gen.sampling.timeline import TIMELINE
from distill_prior_gen.streaming import (
    Current,
    columns_from_start,
    current_settings,
    resolve,
)

LEAD_COLUMNS = 2
"""Columns before the first one that is drawn whose sound depends on it."""

SPLICE_S = 1.0
"""Time in which the phase of the new sound adapts to that of the take, at most."""


def play_on(
    model: PriorModel,
    take: GenerationResult,
    current: Current | None = None,
    columns: list[Tensor] | None = None,
) -> tuple[int, EndlessSound]:
    """Let a take go on without end.

    A take as it was drawn goes on as the longer take with its settings and seed would. One that was
    edited, or was not drawn, goes on from the codes before its end.

    Args:
        model: the model of the take.
        take: the take. Its end is replaced by what leads on.
        current: asked for the settings of what follows the take, as by `stream`; None for those of
            the take.
        columns: list that gets the columns of the code map from its beginning, int64
            ``[row, column, level]``, as the sound needs them; None if nobody wants them.

    Returns:
        The sample of the take at which the sound begins, and pieces of it as from `stream`.

    Raises:
        ValueError: if the take consists of independent chunks; and as `stream`.
    """
    if not isinstance(take.layout, ContinuousLayout):
        raise ValueError("a take of independent chunks cannot go on; use the sampler 'continue'")
    config = resolve(model, take.config)
    hop, window, length = piece_frames(model)
    skipped, unscaled = take.layout.trim_start, torch.from_numpy(take.audio / take.gain)
    frames, changed = len(unscaled) // hop, bool(take.base or take.edits)
    tail, border = None, 0
    if changed:
        # The last codes may be those of a sound that is followed by silence.
        known = max(0, (frames + skipped) // STRIDE - MARGIN_COLUMNS)
        settings = current_settings(model, config, current, known)
        drawn = _columns_after(model, config, code_map(model, take)[1][:, :known], settings)
        border = max(0, (known - LEAD_COLUMNS) * STRIDE - skipped)
        start = max(0, border - 2 * window)
    else:
        known = math.ceil((frames + skipped) / STRIDE) + 1
        settings = current_settings(model, config, current, known)
        drawn, _ = columns_from_start(model, config, settings)
        # The end of the take was rendered without what follows.
        start = max(0, frames - MARGIN_WINDOWS * window) // length * length
        tail = unscaled[start * hop :][: window * hop if start else 0]
    noted = drawn if columns is None else _noted(drawn, columns)
    pieces = endless_pieces(model, config, settings, noted, skipped, start, tail)
    if border:
        before = unscaled[start * hop : border * hop]
        pieces = itertools.chain([_spliced(model, before, next(pieces))], pieces)
    first = max(0, start - length)  # in one piece of the take, the sound may become quieter
    kept = [unscaled[first * hop : start * hop]] if start else []
    return first * hop, EndlessSound(itertools.chain(kept, pieces), take.gain)


def _columns_after(
    model: PriorModel, config: GenerationConfig, codes: Tensor, settings: Settings
) -> Iterator[Tensor]:
    """The columns of a code map, and others that follow them, without end."""
    memory = model.valid_columns
    if config.sampler == TIMELINE and model.timeline:
        memory = max(memory, model.timeline.memory)
    passed = max(0, codes.shape[1] - memory)
    sampler = get_registered("sampler", config.sampler, samplers())

    def later(column: int) -> GenerationConfig:
        return settings(passed + column)

    drawn = endless_columns(sampler, model, config, codes[:, passed:], later)
    return itertools.chain([codes[:, :passed]], drawn)


def _noted(drawn: Iterator[Tensor], columns: list[Tensor]) -> Iterator[Tensor]:
    """Columns of codes, each added to a list."""
    for column in drawn:
        columns.append(column)
        yield column


def _spliced(model: PriorModel, before: Tensor, piece: Tensor) -> Tensor:
    """A piece whose first samples are replaced by those of the take, and with them its phase."""
    old = torch.cat([before, piece[len(before) :]])
    stop = min(len(before) + round(SPLICE_S * model.sample_rate), len(piece))
    matched = match_margins(piece, old, len(before), stop)
    return splice(old, matched, len(before), stop, model.spectrogram)
