"""The state of a training in a file next to its model, so that it can go on after it was killed.

Everything before the loop of a stage follows from the seed and is computed again. The file holds
what the loops of `train_network` have done since: all of it for the stages that are finished,
and weights, optimizer, random generators and place for the one that is not.
"""

from __future__ import annotations

import hashlib
import io
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from distill_prior_gen.atomic import atomic_write
from distill_prior_gen.messages import in_words, printable
from distill_prior_gen.regular_files import open_regular
from distill_prior_gen.training.data import Dataset, abbreviate

FORMAT, VERSION = "distill_training", 1

SUFFIX = ".checkpoint"
"""What is added to the name of a model for the name of its checkpoint."""

INTERVAL_S = 30.0
"""Seconds between checkpoints, at least. The first one is due at once."""

MAX_COST = 0.01
"""Share of the time that writing them takes, at most."""

CHECKPOINT_MODELS = 4
"""Largest size of a checkpoint relative to that of the model: the current and the best weights, and
the two moments of the optimizer."""

EpochDone = Callable[[str, Sequence[float], Sequence[float | None], nn.Module], None]
"""Function that is called after each epoch with the name of the stage, the training and validation
losses of its epochs so far, and the network in evaluation mode."""


def checkpoint_path(model: Path) -> Path:
    """The checkpoint of the training of a model."""
    return model.with_name(model.name + SUFFIX)


def recording_digests(dataset: Dataset) -> dict[str, str]:
    """SHA-256 of the samples of each recording, by name."""
    hashes: dict[str, Any] = {}
    for recording in sorted(dataset.recordings, key=lambda r: (r.name, r.start)):
        digest = hashes.setdefault(recording.name, hashlib.sha256())
        digest.update(recording.samples.contiguous().numpy())
    return {name: digest.hexdigest() for name, digest in hashes.items()}


@dataclass
class TrainingState:
    """How far a training has come, in memory and in its checkpoint.

    Attributes:
        path: the checkpoint.
        options: what was asked for, as plain values.
        recordings: result of `recording_digests`.
        date: when the training began, in ISO 8601.
        stages: what the loop of each stage has saved, by the name of the stage.
        epoch_done: see `EpochDone`.
        failure: why the checkpoint could not be written the last time; empty if it could.
    """

    path: Path
    options: dict[str, Any]
    recordings: dict[str, str]
    date: str
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)
    epoch_done: EpochDone | None = None
    failure: str = ""

    def __post_init__(self) -> None:
        self._written, self._cost = -math.inf, 0.0

    @property
    def due(self) -> bool:
        """Whether it is time for another checkpoint."""
        return time.monotonic() - self._written >= max(INTERVAL_S, self._cost / MAX_COST)

    def finished(self, name: str) -> bool:
        """Whether the loop of a stage has ended, so that only its results are saved."""
        return name in self.stages and "network" not in self.stages[name]

    def write(self, name: str, stage: dict[str, Any]) -> None:
        """Write the checkpoint; the training goes on if that fails, see `failure`.

        Args:
            name: name of a stage.
            stage: what its loop saves.
        """
        start = time.monotonic()
        contents = {
            "format": FORMAT,
            "version": VERSION,
            "options": self.options,
            "recordings": self.recordings,
            "date": self.date,
            "stages": self.stages | {name: stage},
        }
        try:
            with atomic_write(self.path, overwrite=True) as partial, partial.open("wb") as file:
                torch.save(contents, file)
            self.failure = ""
        except OSError as error:
            self.failure = in_words(error)
        self._written = time.monotonic()
        self._cost = self._written - start

    def changed_recordings(self, now: dict[str, str]) -> list[str]:
        """Phrases about recordings that are not what they were when the training began."""
        before = self.recordings
        return abbreviate(
            [
                *(f"{name} is gone" for name in before if name not in now),
                *(f"{name} is new" for name in now if name not in before),
                *(f"{n} is another sound" for n, d in now.items() if before.get(n, d) != d),
            ]
        )


def read_state(path: Path) -> TrainingState:
    """Read a checkpoint. It can hold tensors and plain values only, and runs no code.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is damaged or something else.
    """
    name = printable(path)
    with io.BufferedReader(open_regular(path)) as file:
        try:
            contents = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:
            raise ValueError(f"{name} is damaged, or not the checkpoint of a training") from error
    if not isinstance(contents, dict) or contents.get("format") != FORMAT:
        raise ValueError(f"{name} is not the checkpoint of a training")
    if contents.get("version") != VERSION:
        raise ValueError(f"{name} is from another version of distill-prior-gen")
    kinds = {"options": dict, "recordings": dict, "date": str, "stages": dict}
    for key, kind in kinds.items():
        if not isinstance(contents.get(key), kind):
            raise ValueError(f"{name} is damaged: it has no {key}")
    if not all(isinstance(stage, dict) for stage in contents["stages"].values()):
        raise ValueError(f"{name} is damaged: its stages are not tables")
    return TrainingState(path, *(contents[key] for key in kinds))


@dataclass
class Stage:
    """One stage of a training that can be resumed.

    Attributes:
        training: the training.
        name: name of the stage.
        generator: the random generator of its batches.
    """

    training: TrainingState
    name: str
    generator: torch.Generator

    def __post_init__(self) -> None:
        self._pending = None if self.finished else self.saved
        self._before = self.generator.get_state()

    @property
    def saved(self) -> dict[str, Any] | None:
        """What the loop has saved, or None if it begins."""
        return self.training.stages.get(self.name)

    @property
    def finished(self) -> bool:
        """See `TrainingState.finished`."""
        return self.training.finished(self.name)

    def begin_epoch(self) -> None:
        """Put the generator to the beginning of the epoch, before its batches are made."""
        if self._pending:
            with self.checked():
                self.generator.set_state(self._pending["generator_before"])
        self._before = self.generator.get_state()

    def restore(self, network: nn.Module, optimizer: Optimizer) -> list[float]:
        """Restore the middle of the epoch whose batches were just made.

        Returns:
            Losses of the batches that are done; none if nothing was saved.
        """
        if self._pending is None:
            return []
        saved, self._pending = self._pending, None
        with self.checked():
            network.load_state_dict(saved["network"])
            optimizer.load_state_dict(saved["optimizer"])
            self.generator.set_state(saved["generator"])
            torch.set_rng_state(saved["random"])
            if device_random := _device_random(network):
                device_random.set_rng_state(saved["device_random"])
            return list(saved["losses"])

    def write(
        self,
        network: nn.Module,
        optimizer: Optimizer,
        losses: list[float],
        results: dict[str, Any],
    ) -> None:
        """Write all that the rest of the loop depends on to the checkpoint.

        Args:
            losses: losses of the batches of this epoch that are done.
            results: losses of the epochs before, and the best of them.
        """
        device_random = _device_random(network)
        state = {
            "network": dict(network.state_dict()),
            "optimizer": optimizer.state_dict(),
            "losses": losses,
            "generator_before": self._before,
            "generator": self.generator.get_state(),
            "random": torch.get_rng_state(),
            "device_random": device_random.get_rng_state() if device_random else None,
        }
        self.training.write(self.name, results | state)

    def finish(self, results: dict[str, Any]) -> None:
        """Keep the results of the loop, and write them to the checkpoint."""
        self.training.stages[self.name] = results
        self.training.write(self.name, results)

    @contextmanager
    def checked(self) -> Iterator[None]:
        """Say which file is to blame if what it holds does not fit the training."""
        try:
            yield
        except Exception as error:
            raise ValueError(
                f"{printable(self.training.path)} is damaged: the {self.name} in it does not fit"
            ) from error


def _device_random(network: nn.Module) -> Any:
    """The module with the random numbers of a network's device, or None for the CPU."""
    device = next(network.parameters()).device
    return None if device.type == "cpu" else torch.get_device_module(device)
