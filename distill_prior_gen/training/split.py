"""Which recordings are held out of training, to measure it on sound that it has not heard."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from distill_prior_gen.training.copies import Copy
from distill_prior_gen.training.recording import Recording, frame_peaks

HELD_OUT = 0.2
"""Share of the seconds that is held out."""

DOMINATES = 0.25
"""A sound that makes up more than this share of the seconds gives a part of itself."""

CUT_FRAMES = 1000
"""Frames of a recording in which a part to hold out is looked for."""

PARTS = 5


def hold_out(groups: Sequence[Sequence[Copy]]) -> tuple[list[Recording], list[Recording]]:
    """Recordings to train on, and recordings to hold out: about a fifth of the seconds.

    Copies stay together. A group that dominates is cut: the same part of the sound is held out
    of each copy. Of the others whole groups are held out. Which ones depends on their names and
    lengths alone. Never more than a third is held out.

    Args:
        groups: recordings, each with its copies.

    Raises:
        ValueError: if nothing can be held out.
    """
    total = sum(map(_samples, groups))
    training: list[Recording] = []
    held_out: list[Recording] = []
    whole = []
    for group in groups:
        if _samples(group) <= DOMINATES * total:
            whole.append(group)
        elif part := quiet_part(group[0].recording):
            for copy in group:
                _cut(copy, *part, training, held_out)
        else:
            training += [copy.recording for copy in group]
    chosen = _choose(whole)
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
    return sorted(training, key=_place), sorted(held_out, key=_place)


def quiet_part(recording: Recording) -> tuple[int, int] | None:
    """A part with a fifth of what is heard of a recording, as its start and end in samples.

    It is the shortest of five, and so at most a fifth of the recording; of equal ones, one in the
    middle. None if too little is heard.
    """
    length = len(recording.samples)
    frame = max(1, -(-length // CUT_FRAMES))
    heard = (frame_peaks(recording.samples, CUT_FRAMES) >= recording.silence).nonzero()[:, 0]
    if len(heard) < PARTS:
        return None
    bounds = [round(index * len(heard) / PARTS) for index in range(PARTS)]
    ends = [*(bound - 1 for bound in bounds[1:]), len(heard) - 1]
    parts = [
        (int(heard[first]) * frame, min(length, (int(heard[last]) + 1) * frame))
        for first, last in zip(bounds, ends, strict=True)
    ]
    return min(
        parts, key=lambda p: (round(50 * (p[1] - p[0]) / length), abs(sum(p) - length) // frame)
    )


def _cut(
    copy: Copy, start: int, end: int, training: list[Recording], held_out: list[Recording]
) -> None:
    recording, length = copy.recording, len(copy.recording.samples)
    start, end = (min(max(0, place + copy.shift), length) for place in (start, end))
    for side, first, last in (
        (training, 0, start),
        (held_out, start, end),
        (training, end, length),
    ):
        part = recording.part(first, last)
        if len(part.samples) and part.samples.abs().max() >= part.silence:
            side.append(part)


def _choose(groups: Sequence[Sequence[Copy]]) -> list[Sequence[Copy]]:
    """Groups with about a fifth of the seconds of all, in the order of a hash of their names."""
    wanted = HELD_OUT * sum(map(_samples, groups))
    order = sorted(groups, key=lambda g: hashlib.sha256(g[0].recording.name.encode()).digest())
    choices = []
    for first in range(len(order)):
        chosen: list[Sequence[Copy]] = []
        held = 0
        for group in order[first:] + order[:first]:
            if _samples(group) < 2 * (wanted - held):  # comes nearer with it than without
                chosen.append(group)
                held += _samples(group)
        choices.append((abs(held - wanted), chosen))
    # To a twentieth, so that the first in the order decides unless it is clearly off.
    return min(choices, key=lambda choice: round(4 * choice[0] / wanted), default=(0, []))[1]


def _samples(group: Sequence[Copy]) -> int:
    return sum(len(copy.recording.samples) for copy in group)


def _place(recording: Recording) -> tuple[str, int]:
    return recording.name, recording.start
