"""Recordings before a training: how long and how loud they are, and what may be wrong with them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from distill_prior_gen.audio.decoding import RecordingError, open_recording
from distill_prior_gen.audio.mixing import survey
from distill_prior_gen.audio.recordings import read_mono
from distill_prior_gen.config import Progress, no_progress
from distill_prior_gen.messages import printable
from distill_prior_gen.training.copies import group_copies
from distill_prior_gen.training.recording import MIN_FILE_PEAK, Recording

RATE = 48_000
"""Sample rate in Hz at which recordings are inspected."""

MIN_SECONDS = 1.0
"""Length of a chunk; shorter recordings are padded with silence."""

MAX_SHARE = 0.5
"""Share of all seconds above which one recording is most of the material."""

FULL_SCALE, FLAT, MIN_RUN, MIN_STEP = 0.99, 0.9999, 3, 0.001
"""A peak is clipped if it reaches full scale, if at least `MIN_RUN` neighbouring samples are
above `FLAT` of it, and if the sample before or after is lower by `MIN_STEP` of it. The top of a
wave that is merely loud is as flat only where it falls off more slowly."""

FRAME = 2048
"""Samples of a frame whose spectrum is computed."""

MAX_FLATNESS = 0.15
"""Median spectral flatness above which a recording is noisy. That of white noise is 0.56, and
that of a tone which is 20 dB louder than such noise is about 0.05."""

CLIPPED_BLOCK_S = 10
"""Seconds that are searched for clipped peaks at one time."""


@dataclass(frozen=True)
class InspectedRecording:
    """What is known about a recording before a training.

    Attributes:
        name: name of the file, relative to the folder.
        path: the file.
        seconds: duration, 0 if it cannot be read.
        level: RMS of the mono mix in dB relative to full scale, -inf if it is silent.
        warnings: what may be wrong with it, in words.
        usable: whether a training would use it.
    """

    name: str
    path: Path
    seconds: float = 0.0
    level: float = -np.inf
    warnings: tuple[str, ...] = ()
    usable: bool = True


def inspect_recordings(
    files: dict[str, Path], progress: Progress = no_progress
) -> list[InspectedRecording]:
    """Measure recordings, and say what may be wrong with each.

    Args:
        files: the recordings by their names.
        progress: called for each file.

    Returns:
        One item for each file, in the same order.
    """
    inspected, recordings = [], []
    for index, (name, path) in enumerate(files.items()):
        progress(index / len(files), f"Listening to {printable(name)}...")
        found, samples = _inspect(name, path)
        inspected.append(found)
        if samples is not None:
            recordings.append(Recording(name, samples))
    copies = _copies(recordings)
    total = sum(found.seconds for found in inspected if found.usable)
    return [_compared(found, copies.get(found.name, ""), total) for found in inspected]


def _copies(recordings: list[Recording]) -> dict[str, str]:
    """The first recording with the same sound, by the names of the others."""
    return {
        copy.recording.name: group[0].recording.name
        for group in group_copies(recordings, RATE)
        for copy in group[1:]
    }


def _compared(found: InspectedRecording, original: str, total: float) -> InspectedRecording:
    """The same recording with what a comparison with the others shows."""
    warnings = list(found.warnings)
    if original:
        warnings.append(f"the same sound as {original}")
    if found.usable and MAX_SHARE * total < found.seconds < total:
        warnings.append(f"{found.seconds / total:.0%} of all seconds: takes will resemble it most")
    return replace(found, warnings=tuple(warnings))


def _inspect(name: str, path: Path) -> tuple[InspectedRecording, Tensor | None]:
    """What a recording alone shows, and its mono mix if it is not silent."""
    try:
        with open_recording(path) as source:
            weights = survey(source).weights
            clipped = sum(
                count_clipped(block) for block in source.blocks(CLIPPED_BLOCK_S * source.rate)
            )
            band = min(source.rate, RATE) / RATE
        samples = read_mono(path, RATE)
    except RecordingError as error:
        return InspectedRecording(name, path, warnings=(error.reason,), usable=False), None
    found = InspectedRecording(name, path, len(samples) / RATE)
    if samples.abs().max() < MIN_FILE_PEAK:
        return replace(found, warnings=("is silent",), usable=False), None
    warnings = []
    if clipped:
        warnings.append(f"clipped at {clipped} peaks" if clipped > 1 else "clipped at one peak")
    if found.seconds < MIN_SECONDS:
        warnings.append("shorter than a second: the rest of its second is silence")
    if not np.allclose(weights, 1 / len(weights)):
        warnings.append("its channels cancel in mono: some are inverted, or one is used alone")
    if flatness(samples, band) > MAX_FLATNESS:
        warnings.append("noisy: what is learned is noise as well")
    level = 20 * float(samples.double().square().mean().sqrt().log10())
    return replace(found, level=level, warnings=tuple(warnings)), samples


def count_clipped(samples: np.ndarray) -> int:
    """Number of peaks that are cut flat at full scale.

    Args:
        samples: ``[frame, channel]``, 1 is full scale.
    """
    peaks = np.abs(samples)
    highest = peaks.max(initial=0.0)
    if highest < FULL_SCALE:
        return 0
    count = 0
    for channel in (peaks / highest).T:
        flat = np.concatenate([[False], channel >= FLAT, [False]])
        starts, ends = np.flatnonzero(np.diff(flat.astype(np.int8))).reshape(-1, 2).T
        before = 1 - channel[np.maximum(starts - 1, 0)]
        after = 1 - channel[np.minimum(ends, len(channel) - 1)]
        steep = np.maximum(before, after) > MIN_STEP
        count += int((steep & (ends - starts >= MIN_RUN)).sum())
    return count


def flatness(samples: Tensor, band: float = 1.0) -> float:
    """Median spectral flatness of the audible frames of a recording.

    The flatness of a frame is the geometric mean of its power spectrum, divided by the mean.

    Args:
        samples: ``[samples]``, not silent.
        band: share of the spectrum, from below, that the recording can have. The upper fifth of
            it is left out, because filters and lossy formats empty it.
    """
    padded = torch.nn.functional.pad(samples, (0, max(0, FRAME - len(samples))))
    frames = padded.unfold(0, FRAME, FRAME) * torch.hann_window(FRAME)
    power = torch.fft.rfft(frames).abs().square()[:, 2 : int(0.8 * band * FRAME / 2)]
    energies = power.mean(dim=1)
    power = power[energies >= 1e-3 * energies.max()].clamp_min(1e-12)
    return float((power.log().mean(dim=1).exp() / power.mean(dim=1)).median())
