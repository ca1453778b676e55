"""Where a model comes from, and how close its takes come to its recordings, as its file tells."""

from __future__ import annotations

import math
from typing import Any

from distill_prior_gen.messages import printable

PROVENANCE = "provenance"
"""Key of the file. The Distill app ignores and keeps it."""

EVALUATION = "evaluation"
"""Key of the file. Commands that change a network remove it."""

TAGS = ("title", "author", "licence")
"""What is told of a recording if its own tags say so."""

FIGURES = ("takes", "seconds", "kernel", "kernel_of_noise", "copies")
MAX_FIGURE = 1e6

MAX_TEXT_LENGTH = 200
"""Characters of a text that are shown."""

MAX_COMMAND_LENGTH = 2000
MAX_RECORDINGS = 10_000
MAX_SECONDS = 1e9


def read_provenance(contents: dict[str, Any]) -> dict[str, Any] | None:
    """What a file tells about its origin, in printable form.

    Returns:
        ``command`` and ``seed``, and ``recordings``: for each of them ``name``, ``seconds``,
        ``held_out_seconds``, ``sha256`` of its samples, and those of `TAGS` that are known. None
        if the file tells nothing, or something else than that.
    """
    told = contents.get(PROVENANCE)
    if not isinstance(told, dict):
        return None
    command, seed, recordings = (told.get(key) for key in ("command", "seed", "recordings"))
    if type(command) is not str or type(seed) is not int or not isinstance(recordings, list):
        return None
    if len(recordings) > MAX_RECORDINGS:
        return None
    checked = [_recording(each) for each in recordings]
    if None in checked:
        return None
    return {
        "command": _text(command, MAX_COMMAND_LENGTH),
        "seed": seed,
        "recordings": checked,
    }


def read_evaluation(contents: dict[str, Any]) -> dict[str, float] | None:
    """What a file tells about takes of the model compared with its recordings.

    Returns:
        ``takes``, ``seconds``, ``kernel``, ``kernel_of_noise`` and ``copies``; see
        `measure_takes`. None if the file does not tell all of them.
    """
    told = contents.get(EVALUATION)
    if not isinstance(told, dict) or not told.keys() >= set(FIGURES):
        return None
    figures = {key: told[key] for key in FIGURES}
    if not all(type(f) in (int, float) and abs(f) < MAX_FIGURE for f in figures.values()):
        return None
    return figures


def _recording(told: Any) -> dict[str, Any] | None:
    if not isinstance(told, dict):
        return None
    texts = {key: told[key] for key in ("name", "sha256", *TAGS) if key in told}
    seconds = {key: told.get(key) for key in ("seconds", "held_out_seconds")}
    if not texts.keys() >= {"name", "sha256"} or any(type(t) is not str for t in texts.values()):
        return None
    if any(type(s) not in (int, float) or not _is_duration(s) for s in seconds.values()):
        return None
    return {key: _text(text) for key, text in texts.items()} | seconds


def _is_duration(seconds: Any) -> bool:
    return math.isfinite(seconds) and 0 <= seconds <= MAX_SECONDS


def _text(text: str, length: int = MAX_TEXT_LENGTH) -> str:
    return printable(text[:length])[:length]
