"""From a model and a configuration to takes: the whole way, and nothing but the way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from distill_prior_gen.audio.joining import join_log_mels, overlap_add, pieces_needed
from distill_prior_gen.audio.vocoders import Vocoder
from distill_prior_gen.config import GenerationConfig, Progress, no_progress
from distill_prior_gen.model import PriorModel
from distill_prior_gen.models.vqvae import STRIDE
from distill_prior_gen.plugins import choose, samplers, vocoders
from distill_prior_gen.sampling.autoregressive import PriorSampler
from distill_prior_gen.sampling.streams import CODES, PHASE, new_seed, stream

SAMPLING_SHARE = 0.6
"""Share of the progress bar that goes to sampling codes."""


@dataclass(frozen=True, eq=False)
class GenerationResult:
    """A take.

    Attributes:
        audio: float32 ``[samples]``, within -1 and 1.
        sample_rate: in Hz.
        config: the settings, with the seed that was used.
        codes: int64 ``[chunk, H * W, num_quantizers]``.
        mel: float32 ``[n_mels, frames]``, the log1p mel power that was inverted (with
            ``join="crossfade"``, chunk after chunk).
        boundaries: samples at which one chunk is half faded into the next.
        gain: what the waveform was multiplied with to stay within -1 and 1, mostly 1.
        timings: seconds for ``sample``, ``decode`` and ``invert``, of this take and those of
            the same call before it.
    """

    audio: np.ndarray
    sample_rate: int
    config: GenerationConfig
    codes: Tensor
    mel: Tensor
    boundaries: list[int]
    gain: float
    timings: dict[str, float]

    @property
    def seed(self) -> int:
        assert self.config.seed is not None
        return self.config.seed

    @property
    def duration(self) -> float:
        """In seconds."""
        return len(self.audio) / self.sample_rate


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
    """Make takes of ``round(duration * sample_rate)`` samples, all sampled in one batch.

    Yields each as soon as it is finished.

    Args:
        model: from `load_model`.
        config: the settings, by default the defaults. The takes have the seeds
            ``config.seed``, ``config.seed + 1`` and so on, and each is the same as when
            made alone.
        count: how many takes.
        progress: called with the share that is done and what is going on; what it
            raises ends the work.

    Raises:
        ValueError: if there is no such sampler or vocoder, or it gives what it should not.
        FloatingPointError: if the prior's logits or the samples are not finite.
    """
    config = config or GenerationConfig()
    progress = progress or no_progress
    sampler = choose("sampler", config.sampler, samplers())
    vocoder = choose("vocoder", config.vocoder, vocoders())
    first_seed = new_seed() if config.seed is None else config.seed
    configs = [replace(config, seed=first_seed + take) for take in range(count)]
    timings: dict[str, float] = {}

    layout = lay_out(model, config)
    chunks = layout.chunks
    generators = [
        stream(first_seed + take, CODES, chunk) for take in range(count) for chunk in range(chunks)
    ]
    with _timed(timings, "sample"):
        codes = _draw_codes(
            sampler,
            model,
            configs[0],
            generators,
            lambda share, text: progress(share * SAMPLING_SHARE, text),
        ).unflatten(0, (count, chunks))
    with _timed(timings, "decode"):
        mels = model.decode(codes.flatten(0, 1)).unflatten(0, (count, chunks))
    for take, settings in enumerate(configs):

        def report(share: float, text: str, take: int = take) -> None:
            progress(SAMPLING_SHARE + (1 - SAMPLING_SHARE) * (take + share) / count, text)

        with _timed(timings, "invert"):
            samples, mel = _reconstruct(vocoder, model, settings, mels[take], report)
        total = round(config.duration * model.sample_rate)
        if len(samples) != total:
            raise ValueError(
                f"vocoder {config.vocoder} gave {len(samples)} samples instead of {total}"
            )
        if not samples.isfinite().all():
            raise FloatingPointError(f"vocoder {config.vocoder} gave samples that are not finite")
        peak = float(samples.abs().max())
        gain = 1 / peak if peak > 1 else 1.0
        audio = (samples / max(peak, 1.0)).numpy()
        report(1.0, "Done")
        yield GenerationResult(
            audio=audio,
            sample_rate=model.sample_rate,
            config=settings,
            codes=codes[take],
            mel=mel,
            boundaries=layout.boundaries,
            gain=gain,
            timings=dict(timings),
        )


def sample_codes(
    model: PriorModel,
    num_chunks: int,
    config: GenerationConfig | None = None,
    progress: Progress | None = None,
) -> Tensor:
    """Draw codes alone, int64 ``[num_chunks, H * W * num_quantizers]``.

    Tokens are in the prior's order: position by position (lowest frequency band
    first), the quantizer levels of a position next to each other.
    """
    config = config or GenerationConfig()
    seed = new_seed() if config.seed is None else config.seed
    sampler = choose("sampler", config.sampler, samplers())
    generators = [stream(seed, CODES, chunk) for chunk in range(num_chunks)]
    return _draw_codes(sampler, model, config, generators, progress or no_progress).flatten(1)


def _draw_codes(
    sampler: PriorSampler,
    model: PriorModel,
    config: GenerationConfig,
    generators: list[np.random.Generator],
    progress: Progress,
) -> Tensor:
    codes = sampler(model, config, generators, progress)
    height, width = model.grid
    shape = (len(generators), height * width, model.num_quantizers)
    if codes.shape != shape or codes.dtype != torch.int64:
        raise ValueError(
            f"sampler {config.sampler} gave {codes.dtype} {list(codes.shape)} "
            f"instead of int64 {list(shape)}"
        )
    if codes.numel() and not 0 <= int(codes.min()) <= int(codes.max()) < model.codebook_size:
        raise ValueError(f"sampler {config.sampler} gave codes that are not in the codebook")
    return codes


@dataclass(frozen=True)
class Layout:
    """How the chunks of a take lie, in frames if they are joined as mels, else in samples.

    Attributes:
        unit: samples from one to the next.
        length: of a chunk.
        overlap: of neighbouring chunks.
        total: that the take needs.
    """

    unit: int
    length: int
    overlap: int
    total: int

    @property
    def chunks(self) -> int:
        return pieces_needed(self.total, self.length, self.overlap)

    @property
    def boundaries(self) -> list[int]:
        """Samples at which one chunk is half faded into the next."""
        step = self.length - self.overlap
        middles = (chunk * step + self.overlap / 2 for chunk in range(1, self.chunks))
        return [round(middle * self.unit) for middle in middles]


def lay_out(model: PriorModel, config: GenerationConfig) -> Layout:
    """The layout of a take of ``config.duration``, of as few chunks as make it."""
    total = round(config.duration * model.sample_rate)
    length, hop = frames_kept(model), model.spectrogram.hop_length
    if config.join == "crossfade":
        unit, length = 1, (length - 1) * hop
    else:
        unit, total = hop, model.spectrogram.frames_to_cover(total)
    overlap = min(round(config.overlap / 1000 * model.sample_rate / unit), length // 2)
    return Layout(unit, length, overlap, total)


def frames_kept(model: PriorModel) -> int:
    """Frames of a chunk that are heard.

    The encoder fills the last column of the code map up with zeros, towards which the
    last frames of a decoded chunk sag; as many as were filled up are left out.
    """
    frames, columns = model.checkpoint.frames, model.grid[1]
    filled = columns * STRIDE - frames
    return frames - min(filled, frames // 8)


def _reconstruct(
    vocoder: Vocoder,
    model: PriorModel,
    config: GenerationConfig,
    mels: Tensor,
    progress: Progress,
) -> tuple[Tensor, Tensor]:
    """Samples of a take, and the mel they were made from, of its chunks' log-mels."""
    assert config.seed is not None
    layout = lay_out(model, config)
    mels = mels[..., : frames_kept(model)]
    if config.join == "crossfade":
        pieces = []
        for chunk, mel in enumerate(mels):

            def report(share: float, text: str, chunk: int = chunk) -> None:
                progress((chunk + share) / len(mels), text)

            generator = stream(config.seed, PHASE, chunk)
            pieces.append(vocoder(mel, model.spectrogram, generator, config.quality, report).cpu())
        mel = torch.cat(list(mels), dim=-1)
        samples = overlap_add(torch.stack(pieces), layout.overlap)
    else:
        mel = join_log_mels(mels, layout.overlap)[:, : layout.total]
        generator = stream(config.seed, PHASE)
        samples = vocoder(mel, model.spectrogram, generator, config.quality, progress).cpu()
    return samples[: round(config.duration * model.sample_rate)], mel.cpu()


@contextmanager
def _timed(timings: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    timings[stage] = timings.get(stage, 0.0) + time.perf_counter() - start
