"""Splitting recordings into those to train on and those that are held out for validation."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from itertools import pairwise

from distill_prior_gen.training.copies import Copy
from distill_prior_gen.training.recording import Recording, frame_peaks

HELD_OUT_SHARE = 0.2
"""Share of the total duration that is held out."""

MAX_WHOLE_SHARE = 0.25
"""A sound longer than this share of the total duration is divided; shorter ones stay whole."""

PART_FRAMES = 1000
"""Number of frames in which a part to hold out is searched for."""

NUM_PARTS = 5


def hold_out(groups: Sequence[Sequence[Copy]]) -> tuple[list[Recording], list[Recording]]:
    """Split recordings into training and validation; about a fifth of the duration is held out.

    Copies stay together. A group that makes up more than `MAX_WHOLE_SHARE` of the duration is
    divided: the same part of the sound is held out of each copy. Other groups are held out
    whole; which ones depends only on their names and lengths. Never more than a third of the
    duration is held out.

    Args:
        groups: recordings, each group holding all copies of one sound.

    Returns:
        Recordings to train on and recordings that are held out.

    Raises:
        ValueError: if nothing can be held out.
    """
    total = sum(map(_samples, groups))
    training: list[Recording] = []
    held_out: list[Recording] = []
    whole = []
    for group in groups:
        if _samples(group) <= MAX_WHOLE_SHARE * total:
            whole.append(group)
        elif part := select_part(group[0].recording):
            for copy in group:
                _divide(copy, *part, training, held_out)
        else:
            training += [copy.recording for copy in group]
    chosen = _choose_groups(whole)
    if not chosen and not held_out:
        chosen = sorted(whole, key=_samples)[:1]
    if not chosen and not held_out:
        raise ValueError(
            "the recordings are all the same sound, too short to hold a part of it out; "
            "add other recordings"
        )
    for group in whole:
        side = held_out if group in chosen else training
        side += [copy.recording for copy in group]
    return sorted(training, key=_name_and_start), sorted(held_out, key=_name_and_start)


def select_part(recording: Recording) -> tuple[int, int] | None:
    """Start and end, in samples, of a part with a fifth of a recording's audible frames.

    The audible frames are divided into five parts. The shortest part is returned, which is at
    most a fifth of the recording. Among parts of similar length it is the most central one.

    Returns:
        The part, or None if there are too few audible frames.
    """
    length = len(recording.samples)
    frame = max(1, math.ceil(length / PART_FRAMES))
    audible = (frame_peaks(recording.samples, PART_FRAMES) >= recording.silence).nonzero()[:, 0]
    if len(audible) < NUM_PARTS:
        return None
    bounds = [round(index * len(audible) / NUM_PARTS) for index in range(NUM_PARTS + 1)]
    parts = [
        (int(audible[first]) * frame, min(length, (int(audible[end - 1]) + 1) * frame))
        for first, end in pairwise(bounds)
    ]

    def rank(part: tuple[int, int]) -> tuple[int, int]:
        start, end = part
        return round(50 * (end - start) / length), abs(start + end - length) // frame

    return min(parts, key=rank)


def _divide(
    copy: Copy, start: int, end: int, training: list[Recording], held_out: list[Recording]
) -> None:
    """Add the samples from `start` to `end` to `held_out`, those around them to `training`."""
    recording, length = copy.recording, len(copy.recording.samples)
    start, end = (min(max(0, position + copy.shift), length) for position in (start, end))
    for side, first, last in (
        (training, 0, start),
        (held_out, start, end),
        (training, end, length),
    ):
        part = recording.part(first, last)
        if len(part.samples) and part.samples.abs().max() >= part.silence:
            side.append(part)


def _choose_groups(groups: Sequence[Sequence[Copy]]) -> list[Sequence[Copy]]:
    """Groups with about a fifth of the duration of all, chosen by a hash of their names."""
    wanted = HELD_OUT_SHARE * sum(map(_samples, groups))
    order = sorted(groups, key=lambda g: hashlib.sha256(g[0].recording.name.encode()).digest())
    choices = []
    for first in range(len(order)):
        chosen: list[Sequence[Copy]] = []
        held = 0
        for group in order[first:] + order[:first]:
            if _samples(group) < 2 * (wanted - held):  # closer to `wanted` with it than without
                chosen.append(group)
                held += _samples(group)
        choices.append((abs(held - wanted), chosen))
    # Rounded to a twentieth, so that the hash decides unless a choice is clearly better.
    return min(choices, key=lambda choice: round(4 * choice[0] / wanted), default=(0, []))[1]


def _samples(group: Sequence[Copy]) -> int:
    return sum(len(copy.recording.samples) for copy in group)


def _name_and_start(recording: Recording) -> tuple[str, int]:
    return recording.name, recording.start
