"""Finding recordings, and reading them in mono at one sample rate."""

from __future__ import annotations

import math
import mimetypes
import os
import stat
from pathlib import Path

import numpy as np
import soxr
import torch
from torch import Tensor

from distill_prior_gen.audio.decoding import RecordingError, SoundSource, open_recording
from distill_prior_gen.audio.mixing import Survey, mix, survey
from distill_prior_gen.messages import REASONS, printable

AUDIO_SUFFIXES = (
    *("wav", "wave", "bwf", "w64", "rf64", "aif", "aiff", "aifc", "caf", "au", "snd"),
    *("flac", "ogg", "oga", "opus", "mp3", "mp2", "mp1", "avr", "gsm", "htk", "iff", "svx"),
    *("8svx", "16svx", "ircam", "sf", "mat", "nist", "sph", "paf", "fap", "pvf", "sds", "voc"),
    *("vox", "wve", "xi"),
)
"""Suffixes of sound files that can be read."""

OTHER_SUFFIXES = (
    *("als", "asd", "cfg", "cpr", "cue", "db", "distill", "flp", "ini", "lnk", "log", "logicx"),
    *("m3u", "m3u8", "md", "md5", "mid", "midi", "nfo", "npr", "pk", "pkf", "ptx", "rpp"),
    *("reapeaks", "sfk", "sfv", "sfz", "url", "yaml", "yml"),
)
"""Suffixes of other files that often lie next to recordings."""

KINDS = mimetypes.MimeTypes()
"""Kinds of files by suffix, as Python knows them without the system's own tables."""

MIN_PEAK = 1e-4
"""Largest sample below which a recording is silent."""

MIN_LEVEL = 0.01
"""Level, relative to the loudest place of a recording, below which the end counts as silence."""


def find_recordings(folder: str | os.PathLike[str]) -> tuple[list[Path], dict[str, str]]:
    """Find sound files, by suffix, in a folder and the folders within it.

    Links are followed, but no folder is entered twice. Hidden files and folders are skipped, and so
    are files that are obviously something else, such as texts and pictures.

    Returns:
        The sound files, in the order of their paths relative to `folder`, and the reasons why
        others are left out, by relative path.

    Raises:
        FileNotFoundError, NotADirectoryError, PermissionError: if `folder` cannot be listed.
    """
    folder = Path(folder)
    found: list[Path] = []
    left_out: dict[str, str] = {}
    entered: set[tuple[int, int]] = set()
    folders, links = [Path()], list[Path]()
    while folders or links:  # links last, so that files keep their own path
        place = folders.pop() if folders else links.pop()
        try:
            status = os.stat(folder / place)
            if (status.st_dev, status.st_ino) in entered:
                continue
            names = sorted(os.listdir(folder / place))
        except OSError as error:
            if place == Path():
                raise
            left_out[printable(place.as_posix())] = _no_access(error)
            continue
        entered.add((status.st_dev, status.st_ino))
        for path in (place / name for name in names if not name.startswith(".")):
            mode, failure = 0, "is a device or a pipe"
            try:
                mode = os.stat(folder / path).st_mode
            except OSError as error:
                failure = _no_access(error)
            if stat.S_ISDIR(mode):
                (links if (folder / path).is_symlink() else folders).append(path)
            elif path.suffix.lower()[1:] not in AUDIO_SUFFIXES:
                if reason := _no_sound_file(path.suffix.lower()):
                    left_out[printable(path.as_posix())] = reason
            elif stat.S_ISREG(mode):
                found.append(folder / path)
            else:
                left_out[printable(path.as_posix())] = failure
    return sorted(found, key=lambda path: path.relative_to(folder).parts), left_out


def _no_sound_file(suffix: str) -> str | None:
    """The reason why a file with another suffix is left out, or None if it is obvious."""
    if not suffix:
        return "has no suffix that tells its format, such as .wav"
    kind = KINDS.guess_type("name" + suffix)[0] or "audio/unknown"
    if suffix[1:] in OTHER_SUFFIXES or not kind.startswith(("audio/", "video/")):
        return None
    return f"is in no format that can be read ({printable(suffix)}); export it as WAV or FLAC"


def _no_access(error: OSError) -> str:
    reason = REASONS.get(error.errno or 0) or error.strerror or "cannot be reached"
    return f"cannot be opened: {reason}"


def read_mono(
    path: str | os.PathLike[str], sample_rate: int, seconds: float | None = None
) -> Tensor:
    """Read a recording, mix it to mono, and resample it.

    The mix is the mean of the channels. If they cancel in more than a tenth of the recording,
    channels that oppose the others are inverted. If this does not help, the loudest channel is used
    alone. A DC offset is removed.

    Args:
        path: the file.
        sample_rate: sample rate of the result in Hz.
        seconds: length of the beginning that is read; None reads the whole recording.

    Returns:
        float32 ``[samples]``.

    Raises:
        RecordingError: if it cannot be read, is empty, or has samples that are not finite.
    """
    with open_recording(path) as source:
        measured = survey(source, None if seconds is None else math.ceil(seconds * source.rate))
        return _read(source, measured, sample_rate, 0, measured.frames)[0]


def read_last_sound(source: SoundSource, sample_rate: int, count: int) -> tuple[Tensor, float]:
    """Read the end of a recording, without the silence after it.

    Args:
        source: the recording.
        sample_rate: sample rate of the result in Hz.
        count: largest number of samples to return.

    Returns:
        float32 ``[samples]``, mono as in `read_mono`, and the largest sample of the whole
        recording.

    Raises:
        RecordingError: if it cannot be read, is empty or silent, or has samples that are not
            finite.
    """
    measured = survey(source)
    # The last block may be too short to measure its level.
    loud = np.flatnonzero(measured.levels >= MIN_LEVEL * measured.levels.max())
    end = measured.frames
    if loud[-1] < len(measured.levels) - 2:
        end = (int(loud[-1]) + 1) * measured.block
    start = max(0, end - math.ceil((count + 1) * source.rate / sample_rate))
    samples, peak = _read(source, measured, sample_rate, start, end)
    if peak < MIN_PEAK:
        raise RecordingError(source.path, "is silent; choose a recording with sound in it")
    return samples[-count:], peak


def _read(
    source: SoundSource, measured: Survey, sample_rate: int, start: int, end: int
) -> tuple[Tensor, float]:
    """Some frames of the mix of a recording at another rate, and the peak of the whole mix.

    Resampling begins at a whole second, so that the samples equal those of the whole recording.
    """
    rate = source.rate
    begin = max(0, start // rate - 1) * rate
    beyond = min(measured.frames, end + rate // 10)
    stream = soxr.ResampleStream(rate, sample_rate, 1) if rate != sample_rate else None
    output = np.empty(math.ceil((beyond - begin) * sample_rate / rate) + 1, np.float32)
    filled, position, peak, finite = 0, 0, 0.0, True
    for mono in mix(source, measured):
        peak = max(peak, float(np.abs(mono).max()))
        piece = mono[max(0, begin - position) : max(0, beyond - position)]
        position += len(mono)
        if stream:
            piece = stream.resample_chunk(piece, last=position >= beyond)
            stream = stream if position < beyond else None
        finite = finite and bool(np.isfinite(piece).all())
        output[filled : filled + len(piece)] = piece[: len(output) - filled]
        filled += len(piece)
    first, last = ((frame - begin) * sample_rate / rate for frame in (start, end))
    samples = output[round(first) : min(filled, round(last))]
    if not len(samples):
        raise RecordingError(source.path, "is too short")
    if not finite:
        raise RecordingError(source.path, "has samples that are too large; export it again")
    return torch.from_numpy(samples), peak


def resample(samples: Tensor, rate: int, new_rate: int) -> Tensor:
    """Resample ``[samples]`` from a rate to another, in Hz."""
    if rate == new_rate or not len(samples):
        return samples
    return torch.from_numpy(soxr.resample(samples.numpy(), rate, new_rate))
