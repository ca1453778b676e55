"""How a training goes, in a file for other programs, such as the app."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distill_prior_gen.atomic import atomic_write
from distill_prior_gen.config import Progress
from distill_prior_gen.training.verdict import Verdict, judge, judge_codes, judge_recordings

INTERVAL_S = 1.0
"""Seconds between two versions of the file, at least."""

JUDGED = ("VQ-VAE", "prior")
"""Stages that keep the epoch with the lowest loss of held-out recordings. The timeline prior is to
know the recordings by heart, and the losses of the vocoder have different scales."""


@dataclass
class TrainingStatus:
    """Writes how a training goes to a JSON file, which is always whole.

    The file has ``share``, the part of the work that is done, from 0 to 1; ``seconds_left``, None
    in the beginning; ``text`` about the current work; ``stages``, for each stage so far ``epochs``
    (their planned number), ``train_losses`` and ``val_losses``; and ``verdicts``, pairs of kind and
    advice, see `Verdict`; kinds about losses begin with the name of the stage.

    Attributes:
        path: the file.
        epochs: planned number of epochs, by the name of the stage.
        seconds: duration of the recordings to train on.
        files: number of recordings.
        health: how the codes are used, as soon as there are any; see `TrainedVQVAE.health`.
        stages: see above.
        current: name of the stage that is being trained, or "".
    """

    path: Path
    epochs: Mapping[str, int]
    seconds: float
    files: int
    health: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)
    current: str = ""

    def __post_init__(self) -> None:
        self._written, self._first = 0.0, (0.0, 0.0)

    def reporting(self, report: Progress) -> Progress:
        """A `Progress` that writes the file from time to time as well."""

        def both(share: float, text: str) -> None:
            report(share, text)
            now = time.monotonic()
            if not self._written:
                self._first = now, share
            if now - self._written >= INTERVAL_S:
                self._written = now
                self._write(share, text, now)

        return both

    def epoch_done(
        self, stage: str, train_losses: Sequence[float], val_losses: Sequence[float | None]
    ) -> None:
        """Note the losses of a stage; see `EpochDone`."""
        self.current = stage
        self.stages[stage] = {
            "epochs": self.epochs[stage],
            "train_losses": list(train_losses),
            "val_losses": list(val_losses),
        }

    def _write(self, share: float, text: str, now: float) -> None:
        start, first_share = self._first
        done = share - first_share
        status = {
            "share": share,
            "seconds_left": (now - start) / done * (1 - share) if done > 0 else None,
            "text": text,
            "stages": self.stages,
            "verdicts": self._verdicts(),
        }
        with suppress(OSError), atomic_write(self.path, overwrite=True) as partial:
            partial.write_text(json.dumps(status), encoding="utf-8")

    def _verdicts(self) -> list[Verdict]:
        verdicts = []
        for stage in JUDGED:
            if losses := self.stages.get(stage):
                ended = stage != self.current or len(losses["train_losses"]) == losses["epochs"]
                verdict = judge(losses["train_losses"], losses["val_losses"], ended)
                if verdict:
                    verdicts.append(verdict._replace(kind=f"{stage}: {verdict.kind}"))
        others = judge_codes(self.health), judge_recordings(self.seconds, self.files)
        return [*verdicts, *(verdict for verdict in others if verdict)]
