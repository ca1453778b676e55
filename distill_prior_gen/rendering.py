"""From the codes of takes to sound."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from distill_prior_gen.audio.joining import fade_ends, rising_fade
from distill_prior_gen.config import GenerationConfig, Progress, partial_progress
from distill_prior_gen.model import PriorModel
from distill_prior_gen.plugins import get_registered, vocoders
from distill_prior_gen.result import GenerationResult
from distill_prior_gen.sampling.layout import Layout
from distill_prior_gen.sampling.prompt import Prompt
from distill_prior_gen.stopwatch import Stopwatch
from distill_prior_gen.torch_state import take_state


def render_takes(
    model: PriorModel,
    config: GenerationConfig,
    layout: Layout,
    prompt: Prompt | None,
    codes: Tensor,
    progress: Progress,
) -> Iterator[GenerationResult]:
    """Turn the codes of takes into sound, one take after the other.

    Args:
        model: the model.
        config: settings with the name of a vocoder and the seed of the first take; the others
            have those that follow.
        layout: where the chunks of each take lie.
        prompt: the recording that the takes start from.
        codes: int64 ``[take, chunk, H * W, level]``.
        progress: called while the waveforms are reconstructed.
    """
    assert config.seed is not None
    vocoder = get_registered("vocoder", config.vocoder, vocoders())
    for number, take_codes in enumerate(codes):
        stage = partial_progress(progress, number / len(codes), (number + 1) / len(codes))
        take_config = replace(config, seed=config.seed + number)
        stopwatch = Stopwatch(model.device)
        with take_state(model.device):
            with stopwatch("decode"):
                mel = layout.decode(model, take_codes)
            with stopwatch("invert"), refuse_exit("vocoder", config.vocoder):
                samples, mel = layout.invert(vocoder, model, take_config, take_codes, mel, stage)
            audio, gain = _finish(model, take_config, layout, prompt, samples.cpu())
            # Copies, so that a result that is changed in place does not change another.
            take_codes, mel = take_codes.clone(), mel.cpu().clone()
        stage(1.0, "Done")
        yield GenerationResult(
            audio=audio.numpy(),
            sample_rate=model.sample_rate,
            config=take_config,
            codes=take_codes,
            mel=mel,
            layout=layout,
            prompt=prompt,
            gain=gain,
            timings=stopwatch.seconds,
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
    samples = samples.float()
    if not config.loop:
        samples = fade_ends(samples, model.sample_rate)
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
def refuse_exit(kind: str, name: str) -> Iterator[None]:
    """Raise RuntimeError where a plugin's code would end the program."""
    try:
        yield
    except SystemExit as error:
        raise RuntimeError(f"{kind} {name} called sys.exit({error.code!r})") from error
