"""Timing the stages of work on a device."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Stopwatch:
    """Adds up the time of stages; ``with stopwatch("decode"): ...`` times one.

    Attributes:
        seconds: by stage.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = self._now()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + self._now() - start

    def _now(self) -> float:
        if self.device.type == "cuda":  # whose work goes on after a call returns
            torch.cuda.synchronize(self.device)
        return time.perf_counter()
