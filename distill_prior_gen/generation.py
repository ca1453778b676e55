"""From a model and a configuration to takes: the whole way, and nothing but the way."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from numbers import Integral

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from distill_prior_gen.audio.joining import (
    close_loop,
    join_log_mels,
    overlap_add,
    rising_fade,
)
from distill_prior_gen.audio.vocoders import invert_loop
from distill_prior_gen.config import GenerationConfig, Progress, no_progress
from distill_prior_gen.model import PriorModel
from distill_prior_gen.networks.vqvae import STRIDE
from distill_prior_gen.plugins import Sampler, Vocoder, choose, samplers, vocoders
from distill_prior_gen.sampling.chunks import FREE, Chunk
from distill_prior_gen.sampling.layout import Layout, Separate, Shared, frames_kept, lay_out
from distill_prior_gen.sampling.prompt import Prompt, read_prompt
from distill_prior_gen.sampling.random_streams import CODES, PHASE, new_seed, stream
from distill_prior_gen.sampling.takes import draw_chunks, draw_takes
from distill_prior_gen.torch_state import take_state

SAMPLING_SHARE = 0.6
"""Share of the progress bar that goes to sampling codes."""

FADE_IN_S, FADE_OUT_S = 0.002, 0.01
"""Fades at the ends of a take that is no loop; the first is too short to dull an attack."""

INVERSION_COPIES = 12
"""Waveforms and mels of a take that are in memory at once while it is inverted, at most."""


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
        layout: where the chunks lie in the take.
        prompt: that the take starts from.
        gain: what the waveform was multiplied with to stay within -1 and 1, mostly 1.
        timings: seconds for ``sample``, ``decode`` and ``invert``; takes of one call share the
            first two equally.
    """

    audio: np.ndarray
    sample_rate: int
    config: GenerationConfig
    codes: Tensor
    mel: Tensor
    layout: Layout
    prompt: Prompt | None
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

    @property
    def boundaries(self) -> list[int]:
        """Samples at which one chunk is half faded into the next."""
        return self.layout.boundaries


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
    """Make takes of ``round(duration * sample_rate)`` samples, all sampled together.

    Each is yielded as soon as it is finished. The computation runs in one thread and leaves
    PyTorch's settings as they are, see `torch_state`.

    Args:
        model: from `load_model`.
        config: the settings, by default the defaults. The takes have the seeds
            ``config.seed``, ``config.seed + 1`` and so on, and each is the same as when
            made alone.
        count: how many takes.
        progress: called with the share that is done and what is going on; what it
            raises ends the work.

    Raises:
        ValueError: if there is no such sampler or vocoder, or it gives what it should not; if
            the prompt cannot be read; if settings do not fit the model.
        MemoryError: if the takes need more memory than there is.
        FloatingPointError: if the prior's logits or the samples are not finite.
    """
    config = config or GenerationConfig()
    if not isinstance(count, Integral) or isinstance(count, bool) or count < 1:
        raise ValueError(f"count must be a whole number of takes from 1, not {count!r}")
    sampler = choose("sampler", config.sampler, samplers())
    vocoder = choose("vocoder", config.vocoder, vocoders())
    _check_memory(model, config, count)
    first_seed = new_seed() if config.seed is None else config.seed
    configs = [replace(config, seed=first_seed + take) for take in range(count)]
    with take_state(model.device):
        prompt = read_prompt(model, config) if config.prompt else None
    layout = lay_out(model, config, sampler.continues, prompt)
    return _takes(model, configs, layout, prompt, sampler, vocoder, progress or no_progress)


def _takes(
    model: PriorModel,
    configs: Sequence[GenerationConfig],
    layout: Layout,
    prompt: Prompt | None,
    sampler: Sampler,
    vocoder: Vocoder,
    progress: Progress,
) -> Iterator[GenerationResult]:
    """The takes of `generate_takes`; `configs` differ in nothing but their seeds."""
    count, stopwatch = len(configs), Stopwatch(model.device)
    with take_state(model.device):
        with stopwatch("sample"), _exit_refused("sampler", configs[0].sampler):
            codes = draw_takes(
                sampler,
                model,
                configs,
                layout,
                prompt,
                lambda share, text: progress(share * SAMPLING_SHARE, text),
            )
        with stopwatch("decode"):
            if isinstance(layout, Shared):
                mels = [_decode_whole(model, layout, take) for take in codes]
            else:
                mels = [model.decode(take) for take in codes]
    common = {stage: seconds / count for stage, seconds in stopwatch.seconds.items()}
    for take, config in enumerate(configs):

        def report(share: float, text: str, take: int = take) -> None:
            progress(SAMPLING_SHARE + (1 - SAMPLING_SHARE) * (take + share) / count, text)

        stopwatch = Stopwatch(model.device)
        with take_state(model.device), stopwatch("invert"):
            with _exit_refused("vocoder", config.vocoder):
                samples, mel = _reconstruct(vocoder, model, config, layout, mels[take], report)
            audio, gain = _finish(model, config, layout, prompt, samples)
            # Clones, so that a take that is edited in place changes no other.
            mel, own_codes = mel.clone(), codes[take].clone()
        report(1.0, "Done")
        yield GenerationResult(
            audio=audio.numpy(),
            sample_rate=model.sample_rate,
            config=config,
            codes=own_codes,
            mel=mel,
            layout=layout,
            prompt=prompt,
            gain=gain,
            timings={**common, **stopwatch.seconds},
        )


def _finish(
    model: PriorModel,
    config: GenerationConfig,
    layout: Layout,
    prompt: Prompt | None,
    samples: Tensor,
) -> tuple[Tensor, float]:
    """Samples within -1 and 1 that begin and end without a click, and their gain."""
    if len(samples) != layout.samples:
        raise ValueError(
            f"vocoder {config.vocoder} gave {len(samples)} samples instead of {layout.samples}"
        )
    if not samples.isfinite().all():
        raise FloatingPointError(f"vocoder {config.vocoder} gave samples that are not finite")
    if prompt and config.prompt_crossfade:
        overlap = round(config.overlap / 1000 * model.sample_rate)
        samples = _begin_with(prompt, layout, samples, overlap)
    samples = samples.float().clone()
    if not config.loop:
        rise, fall = (
            min(round(seconds * model.sample_rate), len(samples) // 2)
            for seconds in (FADE_IN_S, FADE_OUT_S)
        )
        samples[:rise] *= rising_fade(rise)
        samples[len(samples) - fall :] *= rising_fade(fall).flip(0)
    peak = float(samples.abs().max()) if len(samples) else 0.0
    gain = 1 / peak if peak > 1 else 1.0
    return samples / max(peak, 1.0), gain


def _check_memory(model: PriorModel, config: GenerationConfig, count: int) -> None:
    """Refuse takes that the memory cannot hold, before any work is done.

    Raises:
        MemoryError: saying how long takes may be.
    """
    available = _available_memory()
    spectrogram = model.spectrogram
    mel = 4 * spectrogram.n_mels * model.sample_rate / spectrogram.hop_length
    # All takes are decoded before the first is inverted; the waveform is there several times.
    per_second = count * mel + INVERSION_COPIES * (4 * model.sample_rate + mel)
    if available is not None and config.duration * per_second > available:
        raise MemoryError(
            f"{count} x {config.duration:g} s need more memory than there is; at most "
            f"{available / per_second:.0f} s fit, and more if fewer takes are made at once"
        )


def _available_memory() -> float | None:
    """Bytes of memory that are free or can be freed, if the system tells."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            sizes = dict(line.split(":") for line in file)
        return 1024 * float(sizes["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError):
        try:
            return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
        except (AttributeError, OSError, ValueError):
            return None


def sample_codes(
    model: PriorModel,
    num_chunks: int,
    config: GenerationConfig | None = None,
    progress: Progress | None = None,
) -> Tensor:
    """Draw the codes of chunks that have nothing to do with each other.

    Returns:
        int64 ``[num_chunks, H * W * num_quantizers]``, in the prior's order: position by
        position (lowest frequency band first), the quantizer levels of a position next to
        each other.
    """
    config = config or GenerationConfig()
    seed = new_seed() if config.seed is None else config.seed
    sampler = choose("sampler", config.sampler, samplers())
    height, width = model.grid
    held = torch.full((height * width, model.num_quantizers), FREE)
    temperature = config.per_level("temperature", model.num_quantizers)
    chunks = [Chunk(stream(seed, CODES, n), held, temperature) for n in range(num_chunks)]
    with take_state(model.device):
        return draw_chunks(sampler, model, config, chunks, progress or no_progress).flatten(1)


def _decode_whole(model: PriorModel, layout: Shared, codes: Tensor) -> Tensor:
    """Log-mel of the chunks ``[chunk, H * W, level]`` of a take on their common code map.

    The columns that a loop draws once more fade, linear in power, from what they lead on from
    into what the first chunk was drawn as, so that it slides back to its beginning. The first
    column, at the loop point, is left as it is.
    """
    chunks = codes.unflatten(1, model.grid)
    mel = model.decode_map(layout.stitch(chunks), layout.loop)
    fade = slice(STRIDE, max(STRIDE, STRIDE * layout.redrawn))
    first = model.decode_map(chunks[0, :, : layout.window])[:, fade].expm1()
    share = rising_fade(first.shape[1]).to(first)
    mel[:, fade] = torch.lerp(mel[:, fade].expm1(), first, share).log1p()
    return mel[:, layout.skipped : layout.skipped + layout.frames]


def _reconstruct(
    vocoder: Vocoder,
    model: PriorModel,
    config: GenerationConfig,
    layout: Layout,
    mels: Tensor,
    progress: Progress,
) -> tuple[Tensor, Tensor]:
    """Samples of a take, and the mel they were made from.

    Args:
        mels: log-mel of the take, or of its chunks if they are separate.
    """
    assert config.seed is not None
    if isinstance(layout, Shared):
        mel = mels
    elif config.join == "crossfade":
        return _crossfade(vocoder, model, config, layout, mels[..., : frames_kept(model)], progress)
    else:
        mel = join_log_mels(mels[..., : frames_kept(model)], layout.overlap)
        mel = mel[:, layout.skipped : layout.skipped + layout.total]
        if config.loop:
            mel = close_loop(mel.expm1(), layout.overlap).log1p()
    arguments = mel, model.spectrogram, stream(config.seed, PHASE), config.quality, progress
    if config.loop:
        overlap = round(config.overlap / 1000 * model.sample_rate)
        samples = invert_loop(vocoder, *arguments, layout.samples, overlap)
    else:
        samples = vocoder.invert(*arguments)[: layout.samples]
    return samples.cpu(), mel.cpu()


def _crossfade(
    vocoder: Vocoder,
    model: PriorModel,
    config: GenerationConfig,
    layout: Separate,
    mels: Tensor,
    progress: Progress,
) -> tuple[Tensor, Tensor]:
    """`_reconstruct` where chunks are inverted one by one."""
    assert config.seed is not None
    pieces = []
    for chunk, mel in enumerate(mels):

        def report(share: float, text: str, chunk: int = chunk) -> None:
            progress((chunk + share) / len(mels), text)

        generator = stream(config.seed, PHASE, chunk)
        piece = vocoder.invert(mel, model.spectrogram, generator, config.quality, report)
        pieces.append(piece.cpu())
    samples = overlap_add(torch.stack(pieces), layout.overlap)
    samples = samples[layout.skipped : layout.skipped + layout.total]
    if config.loop:
        samples = close_loop(samples, layout.overlap)
    return samples, torch.cat(list(mels), dim=-1).cpu()


def _begin_with(prompt: Prompt, layout: Layout, samples: Tensor, overlap: int) -> Tensor:
    """`samples` that begin with the prompt itself, which fades out over its last `overlap`."""
    recording = F.pad(prompt.samples, (prompt.silence + layout.starts[0], 0))[: len(samples)]
    fade = min(overlap, len(recording))
    share = torch.ones(len(recording))
    share[len(recording) - fade :] -= rising_fade(fade)
    begun = torch.lerp(samples[: len(recording)], recording, share)
    return torch.cat([begun, samples[len(recording) :]])


@contextmanager
def _exit_refused(kind: str, name: str) -> Iterator[None]:
    """Raise RuntimeError where a plugin's code would end the program."""
    try:
        yield
    except SystemExit as error:
        raise RuntimeError(f"{kind} {name} called sys.exit({error.code!r})") from error


class Stopwatch:
    """Adds up the seconds of stages of the work on a device.

    Attributes:
        seconds: by stage.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = self._now()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + self._now() - start

    def _now(self) -> float:
        if self.device.type == "cuda":  # whose work goes on after the call returns
            torch.cuda.synchronize(self.device)
        return time.perf_counter()
