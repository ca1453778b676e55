"""Where a model comes from: its recordings, when and how its training began."""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import soundfile

from distill_prior_gen.training.data import Dataset

NAMESPACE = uuid.UUID("3fc7d701-aa6d-55ac-83e6-d722aba6d9ce")
"""Namespace of the identifiers of models."""

TAG_NAMES = {"title": "title", "artist": "author", "license": "licence", "copyright": "licence"}
"""Tags of sound files, and what they tell; of two for the same thing, the first counts."""


@dataclass(frozen=True)
class Provenance:
    """Where a model comes from.

    Attributes:
        date: when the training began, in ISO 8601.
        command: the command that trained it, without the folders of its files.
        seed: seed of the training.
        recordings: result of `describe_recordings`.
    """

    date: str
    command: str
    seed: int
    recordings: list[dict[str, Any]]

    @property
    def model_id(self) -> str:
        """Identifier of the model; that of a training that was resumed is the same."""
        return str(uuid.uuid5(NAMESPACE, json.dumps([self.date, self.entry])))

    @property
    def entry(self) -> dict[str, Any]:
        """What the model file tells; see `read_provenance`."""
        return {"command": self.command, "seed": self.seed, "recordings": self.recordings}


def training_date() -> str:
    """Now, or the time that the environment variable SOURCE_DATE_EPOCH gives, in ISO 8601."""
    if (seconds := os.environ.get("SOURCE_DATE_EPOCH", "")).isdecimal():
        return datetime.fromtimestamp(int(seconds), UTC).isoformat()
    return datetime.now(UTC).isoformat()


def describe_recordings(
    dataset: Dataset, folder: Path, digests: dict[str, str]
) -> list[dict[str, Any]]:
    """What the model file tells about each recording; see `read_provenance`.

    Args:
        folder: the folder of the recordings, whose tags are read.
        digests: result of `recording_digests`.
    """
    return [
        {
            "name": name,
            "seconds": dataset.duration([r for r in dataset.recordings if r.name == name]),
            "held_out_seconds": dataset.duration([r for r in dataset.validation if r.name == name]),
            "sha256": digest,
            **read_tags(folder / name),
        }
        for name, digest in digests.items()
    ]


def read_tags(path: Path) -> dict[str, str]:
    """Title, author and licence of a sound file, as far as its tags tell."""
    try:
        with soundfile.SoundFile(path) as file:
            found = file.copy_metadata()
    except (OSError, RuntimeError):  # it is gone by now, or has a header that was repaired
        return {}
    tags: dict[str, str] = {}
    for name, meaning in TAG_NAMES.items():
        if text := found.get(name, "").strip():
            tags.setdefault(meaning, text)
    return tags
