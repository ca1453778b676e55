"""What the losses of a training say, in words, and what to do."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

LEARNING, DONE, BY_HEART = "still learning", "done", "learning by heart"
TOO_FEW, UNUSED = "too few recordings", "codes unused"

MIN_EPOCHS = 4
"""Number of validated epochs before anything is said about a stage."""

RECENT_SHARE = 0.25
"""Share of the epochs that tell whether a network is still learning."""

PROGRESS = 0.01
"""Share by which the lowest validation loss has fallen in these epochs if it is."""

RISE = 0.05
"""Share by which the validation loss has risen above its lowest value, while the training loss has
fallen, if a network is learning by heart."""

FEW_SECONDS, FEW_FILES = 30.0, 8
"""Less sound than this, or fewer files, say little about others."""

MIN_UTILIZATION = 0.3
"""Share of the codes of a level that are used, at least."""


class Verdict(NamedTuple):
    """A judgement and what to do.

    Attributes:
        kind: one of the constants above, such as `DONE`.
        advice: a sentence.
    """

    kind: str
    advice: str


def judge(
    train_losses: Sequence[float], val_losses: Sequence[float | None], ended: bool
) -> Verdict | None:
    """What the losses of a stage say.

    Args:
        train_losses: training loss of each epoch.
        val_losses: validation loss of each epoch; None where there was no validation.
        ended: whether the stage has ended.

    Returns:
        The verdict, or None if it is too early for one.
    """
    pairs = [(t, v) for t, v in zip(train_losses, val_losses, strict=True) if v is not None]
    if len(pairs) < MIN_EPOCHS:
        return None
    train, val = zip(*pairs, strict=True)
    best = min(range(len(val)), key=val.__getitem__)
    recent = max(2, round(RECENT_SHARE * len(val)))
    level = statistics.median(val[-recent:])
    if best < len(val) - recent and level > (1 + RISE) * val[best] and train[-1] < train[best]:
        epoch = len(val_losses) - len(val) + best + 1
        advice = (
            f"Epoch {epoch} is kept. After it, only the recordings that it trained on got better: "
            "add recordings."
            if ended
            else f"It gets better only at the recordings that it trains on, since epoch {epoch}. "
            "Stop and keep the best, or add recordings."
        )
        return Verdict(BY_HEART, advice)
    before = min(val[:-recent])
    if min(val[-recent:]) < (1 - PROGRESS) * before:
        if not ended:
            return Verdict(LEARNING, "It still gets better. Let it go on.")
        return Verdict(LEARNING, "It still got better at the end. Train it with more epochs.")
    if not ended:
        return Verdict(DONE, "It hardly gets better any more. Listen, and stop if you like it.")
    return Verdict(DONE, "It hardly got better at the end. It has had enough epochs.")


def judge_recordings(seconds: float, files: int) -> Verdict | None:
    """Whether there are too few recordings.

    Args:
        seconds: duration of those to train on.
        files: number of files.
    """
    if seconds >= FEW_SECONDS and files >= FEW_FILES:
        return None
    return Verdict(
        TOO_FEW,
        f"{seconds:.0f} seconds in {files} files are few: takes will resemble them closely. Add "
        f"recordings, to more than {FEW_FILES} files and {FEW_SECONDS:.0f} seconds.",
    )


def judge_codes(health: Mapping[str, Mapping[str, float]]) -> Verdict | None:
    """Whether a level of codes is hardly used.

    Args:
        health: see `TrainedVQVAE.health`.
    """
    unused = [
        f"{level.replace('_', ' ')} uses {use['utilization']:.0%}"
        for level, use in health.items()
        if use["utilization"] < MIN_UTILIZATION
    ]
    if not unused:
        return None
    return Verdict(
        UNUSED,
        f"Of its codes, {', '.join(unused)}. Train again with fewer codes (--codebook-size), or "
        "add recordings that differ more.",
    )
