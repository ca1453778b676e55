"""The whole way from a model and settings to takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from numbers import Integral

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from distill_prior_gen.audio.joining import rising_fade
from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.config import QUALITIES, Edit, GenerationConfig, Progress, no_progress
from distill_prior_gen.memory import check_memory
from distill_prior_gen.model import PriorModel
from distill_prior_gen.neural_vocoder import choose_vocoder
from distill_prior_gen.plugins import get_registered, samplers, vocoders
from distill_prior_gen.sampling.chunks import UNKNOWN, Chunk, Sampler
from distill_prior_gen.sampling.layout import Layout, plan_layout
from distill_prior_gen.sampling.prompt import Prompt, read_prompt
from distill_prior_gen.sampling.random_streams import Purpose, new_seed, random_generator
from distill_prior_gen.sampling.takes import draw_chunks, draw_takes
from distill_prior_gen.sampling.timeline import check_steering, choose_sampler
from distill_prior_gen.stopwatch import Stopwatch
from distill_prior_gen.torch_state import take_state
from distill_prior_gen.vocoding import Vocoder

SAMPLING_SHARE = 0.6
"""Fraction of the progress bar that belongs to sampling."""

FADE_IN_S, FADE_OUT_S = 0.002, 0.01
"""Fades at the ends of a take that does not loop; the first is too short to dull an attack."""


@dataclass(frozen=True, eq=False)
class GenerationResult:
    """A take.

    Attributes:
        audio: float32 ``[samples]``, within -1 and 1.
        sample_rate: in Hz.
        config: the settings, with the seed, the sampler and the vocoder that were used.
        codes: int64 ``[chunk, H * W, num_quantizers]``; where a sampler draws whole takes, one
            chunk of all columns.
        mel: log1p mel power that the codes were decoded to, float32 ``[n_mels, frames]``; with
            ``join="crossfade"`` the mels of the chunks one after the other.
        layout: where the chunks lie in the take.
        prompt: the recording that the take starts from, or None.
        gain: factor that keeps the waveform within -1 and 1, usually 1.
        edits: changes that were made to the take, see `redraw`; its codes are then one chunk.
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
    edits: tuple[Edit, ...] = ()

    @property
    def seed(self) -> int:
        """The seed that was used."""
        assert self.config.seed is not None
        return self.config.seed

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.audio) / self.sample_rate

    @property
    def boundaries(self) -> list[int]:
        """Samples at which the sound of one chunk gives way to that of the next."""
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
    config = config or GenerationConfig()
    if not isinstance(count, Integral) or isinstance(count, bool) or count < 1:
        raise ValueError(f"count must be a whole number of takes from 1, not {count!r}")
    seed = new_seed() if config.seed is None else config.seed
    names = choose_sampler(model, config.sampler), choose_vocoder(model, config.vocoder)
    config = replace(config, seed=seed, sampler=names[0], vocoder=names[1])
    check_steering(model, config)
    sampler = get_registered("sampler", config.sampler, samplers())
    vocoder = get_registered("vocoder", config.vocoder, vocoders())
    check_memory(model, config, count)
    with take_state(model.device):
        prompt = read_prompt(model, config, sampler.whole) if config.prompt else None
    layout = plan_layout(model, config, sampler.continues, prompt, sampler.whole)
    seeds, progress = range(seed, seed + count), progress or no_progress
    return _takes(model, config, seeds, layout, prompt, sampler, vocoder, progress)


def _takes(
    model: PriorModel,
    config: GenerationConfig,
    seeds: Sequence[int],
    layout: Layout,
    prompt: Prompt | None,
    sampler: Sampler,
    vocoder: Vocoder,
    progress: Progress,
) -> Iterator[GenerationResult]:
    """The takes of `generate_takes`, one for each seed."""

    def report_sampling(share: float, text: str) -> None:
        progress(share * SAMPLING_SHARE, text)

    stopwatch = Stopwatch(model.device)
    with take_state(model.device):
        with stopwatch("sample"), _exit_refused("sampler", config.sampler):
            codes = draw_takes(sampler, model, config, seeds, layout, prompt, report_sampling)
        with stopwatch("decode"):
            mels = [layout.decode(model, take_codes) for take_codes in codes]
    common = {stage: seconds / len(seeds) for stage, seconds in stopwatch.seconds.items()}
    for take, seed in enumerate(seeds):

        def report(share: float, text: str, take: int = take) -> None:
            progress(SAMPLING_SHARE + (1 - SAMPLING_SHARE) * (take + share) / len(seeds), text)

        take_config = replace(config, seed=seed)
        stopwatch = Stopwatch(model.device)
        with take_state(model.device), stopwatch("invert"):
            with _exit_refused("vocoder", config.vocoder):
                samples, mel = layout.invert(
                    vocoder, model, take_config, codes[take], mels[take], report
                )
            audio, gain = _finish(model, take_config, layout, prompt, samples.cpu())
            # Copies, so that a result that is changed in place does not change another.
            mel, take_codes = mel.cpu().clone(), codes[take].clone()
        report(1.0, "Done")
        yield GenerationResult(
            audio=audio.numpy(),
            sample_rate=model.sample_rate,
            config=take_config,
            codes=take_codes,
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
    """Samples within -1 and 1 that start and end without a click, and the gain applied."""
    if len(samples) != layout.samples:
        raise ValueError(
            f"vocoder {config.vocoder} gave {len(samples)} samples instead of {layout.samples}"
        )
    if not samples.isfinite().all():
        raise FloatingPointError(f"vocoder {config.vocoder} gave samples that are not finite")
    if prompt and config.prompt_crossfade:
        overlap = config.overlap_samples(model.sample_rate)
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


def _begin_with(prompt: Prompt, layout: Layout, samples: Tensor, overlap: int) -> Tensor:
    """Replace the beginning of `samples` by the prompt, which fades out over `overlap` samples."""
    recording = F.pad(prompt.samples, (prompt.silence + layout.starts[0], 0))[: len(samples)]
    fade = min(overlap, len(recording))
    weight = torch.ones(len(recording))
    weight[len(recording) - fade :] -= rising_fade(fade)
    beginning = torch.lerp(samples[: len(recording)], recording, weight)
    return torch.cat([beginning, samples[len(recording) :]])


@contextmanager
def _exit_refused(kind: str, name: str) -> Iterator[None]:
    """Raise RuntimeError where a plugin's code would end the program."""
    try:
        yield
    except SystemExit as error:
        raise RuntimeError(f"{kind} {name} called sys.exit({error.code!r})") from error


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
