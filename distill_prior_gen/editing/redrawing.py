"""Drawing parts of a code map again, so that they fit what comes before and after.

A sampler draws forwards in time and does not know what follows. Therefore each gap is drawn several
times, and one of the candidates is chosen by how likely the codes after it make it, and by how
little the level steps at its borders.

References:
    D. B. Rubin: The calculation of posterior distributions by data augmentation: comment. 1987,
    Journal of the American Statistical Association (sampling importance resampling).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from distill_prior_gen.config import (
    DESCRIPTORS,
    GenerationConfig,
    Progress,
    partial_progress,
)
from distill_prior_gen.model import PriorModel
from distill_prior_gen.networks.timeline import NUM_BINS
from distill_prior_gen.networks.vqvae import STRIDE
from distill_prior_gen.plugins import get_registered, samplers
from distill_prior_gen.sampling.chunks import UNKNOWN, Chunk, temperatures, value_at
from distill_prior_gen.sampling.random_streams import Purpose, random_generator
from distill_prior_gen.sampling.robust_draw import ExactNetwork, inverse_transform
from distill_prior_gen.sampling.takes import draw_chunks
from distill_prior_gen.torch_state import take_state

CANDIDATES = 16
"""How often each gap is drawn."""

AHEAD_COLUMNS = 6
"""Columns after a gap that its candidates are judged by: a second with the default settings."""

CLOSING_COLUMNS = 3
"""Columns at the end of a gap that are drawn a second time, since all candidates of a long gap may
end far from what follows."""

LEVEL_STEP_DB = 3.0
"""Standard deviation of the step of the level at a border that is as good as any; candidates with
larger steps are chosen more seldom, by the normal distribution."""

SILENT_POWER = 1e-2
"""Mel power below which levels do not differ."""


def redraw_codes(
    model: PriorModel,
    codes: Tensor,
    mask: Tensor,
    config: GenerationConfig,
    progress: Progress,
    loop: bool = False,
) -> Tensor:
    """Draw parts of a code map again; all other codes stay as they are.

    Args:
        model: from `load_model`.
        codes: code map, int64 ``[row, column, level]``, with any number of columns.
        mask: which codes are drawn again, bool ``[row, column, level]``.
        config: temperature and so on, with a seed and the name of a sampler of the model. Settings
            that move over a take move over the map.
        progress: called with the fraction that is done and a description of the current work.
        loop: whether the first column follows the last.

    Returns:
        int64 ``[row, column, level]``.

    Raises:
        ValueError: if there is no such sampler, or settings do not fit the model.
        FloatingPointError: if the prior's logits are not finite.
    """
    if loop and _columns(mask).all():  # then its end leads into what was drawn first
        first, closing = partial_progress(progress, 0.0, 0.8), partial_progress(progress, 0.8, 1.0)
        codes = redraw_codes(model, codes, mask, config, first)
        mask = mask.clone()
        mask[:, AHEAD_COLUMNS:] = False
        return redraw_codes(model, codes, mask, config, closing, mask.shape[1] > AHEAD_COLUMNS)
    shift = _middle_of_longest_run(~_columns(mask)) if loop else 0
    codes, mask = codes.roll(-shift, dims=1), mask.roll(-shift, dims=1)
    drawing = _Drawing(model, config, codes.masked_fill(mask, UNKNOWN))
    gaps = _gaps(mask)
    with take_state(model.device):
        for number, (start, end) in enumerate(gaps):
            stage = partial_progress(progress, number / len(gaps), (number + 1) / len(gaps))
            drawing.fill(start, end, stage)
    return drawing.codes.roll(shift, dims=1)


class _Drawing:
    """A code map whose gaps are filled from left to right.

    Attributes:
        codes: int64 ``[row, column, level]``, `UNKNOWN` where not drawn.
    """

    def __init__(self, model: PriorModel, config: GenerationConfig, codes: Tensor) -> None:
        assert config.seed is not None
        self.model, self.config, self.seed, self.codes = model, config, config.seed, codes
        self.sampler = get_registered("sampler", config.sampler, samplers())
        self.drawn = 0  # candidates so far, which have random numbers of their own
        self.context = min(config.context_columns, model.valid_columns - 1)
        self.exact: ExactNetwork[Any] = ExactNetwork(model.prior)
        if self.sampler.whole and model.timeline:
            self.context = model.timeline.memory + 1
            self.exact = ExactNetwork(model.timeline)

    def fill(self, start: int, end: int, progress: Progress) -> None:
        """Draw what is unknown in the columns from `start` to before `end`."""
        if self.sampler.whole:
            gap = self.codes[:, start:end] == UNKNOWN
            self._draw_whole(start, end, partial_progress(progress, 0.0, 0.7))
            closing = end - CLOSING_COLUMNS
            if start < closing and end < self.codes.shape[1]:
                again = gap[:, closing - start :]
                self.codes[:, closing:end].masked_fill_(again, UNKNOWN)
                self._draw_whole(closing, end, partial_progress(progress, 0.7, 1.0))
            return
        begin = max(0, start - self.context)
        step = self.model.valid_columns - self.context
        windows = range(begin, max(begin + 1, end - self.context), step)
        for number, first in enumerate(windows):
            stop = first + self.model.valid_columns
            stage = partial_progress(progress, number / len(windows), (number + 1) / len(windows))
            self._draw(first, stop, stop, max(start, first), stage)

    def _draw_whole(self, start: int, end: int, progress: Progress) -> None:
        begin = max(0, start - self.context)
        self._draw(begin, end, end + AHEAD_COLUMNS, start, progress)

    def _draw(self, begin: int, stop: int, ahead: int, start: int, progress: Progress) -> None:
        """Draw columns several times, and keep the candidate that fits best.

        Args:
            begin: first column that is known to the sampler.
            stop: column after the last one that the sampler draws or is given.
            ahead: column after the last one that candidates are judged by.
            start: first column that is drawn.
            progress: called while the candidates are drawn.
        """
        model, columns = self.model, self.codes.shape[1]
        unknown = _columns(self.codes == UNKNOWN)
        if not unknown[start:stop].any():  # drawn together with what was before
            return
        later = unknown[stop:ahead].nonzero()
        ahead = stop + int(later[0]) if len(later) else ahead
        share = start / max(1, columns - 1)
        config = _settings_at(self.config, model.num_quantizers, share)
        known = self.codes[:, begin:stop]
        width = stop - begin if self.sampler.whole else model.grid[1]
        fixed = F.pad(known, (0, 0, 0, width - known.shape[1]), value=UNKNOWN)
        chunks = []
        for _ in range(CANDIDATES):
            generator = random_generator(self.seed, Purpose.CODES, self.drawn)
            temperature = config.per_level("temperature", model.num_quantizers)
            chunks.append(Chunk(generator, fixed.flatten(0, 1), temperature))
            self.drawn += 1
        maps = draw_chunks(self.sampler, model, config, chunks, progress)
        maps = maps.unflatten(1, (len(fixed), -1))[:, :, : known.shape[1]]
        following = self.codes[:, stop:ahead].expand(CANDIDATES, -1, -1, -1)
        longer = torch.cat([maps, following], dim=2)
        fits = self._log_probability(longer, begin, start)
        gap = unknown[begin:stop].nonzero().flatten() + begin
        borders = [
            b for b in (int(gap[0]), int(gap[-1]) + 1) if begin < b < begin + longer.shape[2]
        ]
        steps = level_steps(model, longer, [border - begin for border in borders])
        fits -= (steps**2).sum(axis=1) / (2 * LEVEL_STEP_DB**2)
        uniform = random_generator(self.seed, Purpose.CHOICE, self.drawn).random()
        chosen = int(inverse_transform(fits, np.array(uniform)))
        self.codes[:, begin:stop] = maps[chosen]

    def _log_probability(self, maps: Tensor, begin: int, start: int) -> np.ndarray:
        """Logarithm of the probability of the codes from column `start` on that were not drawn.

        Args:
            maps: candidates from column `begin` on, ``[candidate, row, column, level]``.

        Returns:
            float64 ``[candidate]``.
        """
        if self.sampler.whole and self.model.timeline is None:
            return np.zeros(len(maps))  # no prior knows maps of this length
        given = self.codes[:, begin : begin + maps.shape[2]] != UNKNOWN
        given[:, : start - begin] = False
        judged = _columns(given).nonzero().flatten()
        if not len(judged):
            return np.zeros(len(maps))
        first = int(judged[0])
        predict = self._timeline_logits if self.sampler.whole else self._prior_logits
        likely = predict(maps, first).log_softmax(dim=-1)
        chosen = likely.gather(-1, maps[:, :, first:, :, None])[..., 0]
        return (chosen * given[:, first:]).sum(dim=(1, 2, 3)).numpy()

    def _timeline_logits(self, maps: Tensor, first: int) -> Tensor:
        """Logits of codes after those before them, for columns from `first` on.

        Returns:
            float64 ``[candidate, row, column, level, code]``.
        """
        network, (count, rows, columns, levels) = self.exact.network, maps.shape
        codes = maps.transpose(1, 2).flatten(2)  # [candidate, column, token]
        changed = torch.zeros(count, columns, dtype=torch.int64)
        recording = torch.full_like(changed, network.recordings)
        bins = torch.full((count, columns, len(DESCRIPTORS)), NUM_BINS)
        condition = network.condition(changed, recording, bins)
        memory = network.remember(network.embed(codes, condition))[:, :-1]
        judged = (tensor[:, first:].flatten(0, 1) for tensor in (memory, condition, codes))
        return (
            network.predict(*judged)
            .view(count, -1, rows, levels, network.codebook_size)
            .transpose(1, 2)
        )

    def _prior_logits(self, maps: Tensor, first: int) -> Tensor:
        """The same by the prior of single seconds; the first code has no logits but zeros."""
        width = self.model.grid[1]
        padded = F.pad(maps, (0, 0, 0, width - maps.shape[2]))
        tokens = padded.flatten(1)
        logits = F.pad(self.exact.network(tokens)[:, :-1], (0, 0, 1, 0))
        return logits.view(*padded.shape, -1)[:, :, first : maps.shape[2]]


@torch.no_grad()
def level_steps(model: PriorModel, maps: Tensor, borders: list[int]) -> np.ndarray:
    """Differences of the level after borders from that before them, in dB.

    Args:
        model: the model.
        maps: code maps, int64 ``[map, row, column, level]``.
        borders: columns that follow a border.

    Returns:
        float64 ``[map, border]``.
    """
    steps = np.zeros((len(maps), len(borders)))
    for number, border in enumerate(borders):
        # The decoder passes from one column to the next within the frames before the border.
        part = maps[:, :, border - 1 : border + 1].to(model.device)
        embeddings = model.vqvae.codes_to_embeddings(part.flatten(1, 2), part.shape[1:3])
        mel = model.vqvae.decode(embeddings, model.spectrogram.n_mels, STRIDE)
        power = mel.expm1().sum(dim=1).cpu().double()
        level = 10 * (power + SILENT_POWER).log10()
        before, after = level.chunk(2, dim=1)
        steps[:, number] = (after.mean(dim=1) - before.mean(dim=1)).numpy()
    return steps


def _settings_at(config: GenerationConfig, levels: int, share: float) -> GenerationConfig:
    """The settings at a fraction `share` of a take, which do not move any more."""
    values: dict[str, Any] = {n: value_at(getattr(config, n), share) for n in DESCRIPTORS}
    values["temperature"] = temperatures(config, levels, share)
    return replace(config, temperature_end=None, **values)


def _gaps(mask: Tensor) -> list[tuple[int, int]]:
    """Runs of columns in which something is drawn: the first, and the one after the last."""
    drawn = F.pad(_columns(mask).int(), (1, 1)).diff()
    starts, ends = (drawn == 1).nonzero().flatten(), (drawn == -1).nonzero().flatten()
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def _columns(mask: Tensor) -> Tensor:
    """Columns of a mask ``[row, column, level]`` in which something is set, bool ``[column]``."""
    return mask.any(dim=2).any(dim=0)


def _middle_of_longest_run(free: Tensor) -> int:
    """The middle of the longest run of set columns in a circle, bool ``[column]``; or 0."""
    columns = len(free)
    twice = F.pad(free.tile(2).int(), (1, 1)).diff()
    starts, ends = (twice == 1).nonzero().flatten(), (twice == -1).nonzero().flatten()
    if not len(starts):
        return 0
    longest = int((ends - starts).argmax())
    return int(starts[longest] + ends[longest]) // 2 % columns
