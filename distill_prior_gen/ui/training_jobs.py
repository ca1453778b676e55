"""Trainings in processes of their own, one at a time, in the order in which they were asked for.

A training that crashes leaves the app alive, and a page that is closed leaves the training alive.
If the app ends, its training ends early and keeps what it has learned.
"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WAITING, RUNNING, DONE = "waiting", "running", "done"
STOPPED, FAILED = "stopped", "failed"

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended."""


@dataclass(eq=False)
class Job:
    """A training.

    Attributes:
        folder: the recordings.
        output: the model file.
        options: further options of ``distill-prior train``.
        state: one of the constants above.
        message: the last line that the training has printed, which says why it failed.
        result: what ``--json`` has printed, or {} until then.
    """

    folder: Path
    output: Path
    options: tuple[str, ...]
    state: str = WAITING
    message: str = ""

    def __post_init__(self) -> None:
        self.result: dict[str, Any] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._files = tempfile.TemporaryDirectory(prefix="distill-prior-training-")
        self._status = Path(self._files.name, "status.json")

    @property
    def status(self) -> dict[str, Any]:
        """What the training has last told about itself, see `TrainingStatus`, or {}."""
        try:
            status = json.loads(self._status.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return dict(status)

    def run(self) -> None:
        """Train, and return when the process has ended; do nothing if it was stopped before."""
        command = [sys.executable, "-m", "distill_prior_gen.cli.training_process"]
        command += ["train", str(self.folder), "-o", str(self.output), "--json", "--no-progress"]
        command += ["--status", str(self._status), *self.options]
        output, errors = (Path(self._files.name, name) for name in ("output", "errors"))
        with self._lock, output.open("wb") as stdout, errors.open("wb") as stderr:
            if self.state != WAITING:
                return
            self.state = RUNNING
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=stdout, stderr=stderr)
            self._process = process
        code = process.wait()
        self._end(code, *(path.read_text("utf-8", "replace") for path in (output, errors)))

    def stop(self) -> None:
        """End the training early and keep the best, or take it out of the queue."""
        with self._lock:
            if self.state == WAITING:
                self.state = STOPPED
            elif self._process and self._process.stdin:
                self._process.stdin.close()

    def _end(self, code: int, output: str, errors: str) -> None:
        lines = [line for line in errors.splitlines() if line.strip()]
        self.message = lines[-1] if lines else ""
        if output:
            self.result = json.loads(output)
        if code < 0:
            self.message = (
                "the training was ended by the system, perhaps because memory was used up; close "
                "other programs and resume it"
            )
        # Without something left to train, it was stopped while its takes were measured.
        stopped = STOPPED if self.result.get("unfinished", True) else DONE
        self.state = {0: DONE, INTERRUPTED: stopped}.get(code, FAILED)


class TrainingQueue:
    """The trainings of an app, of which one runs at a time.

    Attributes:
        jobs: all of them, in the order in which they were added.
    """

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self._waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
        threading.Thread(target=self._work, daemon=True, name="trainings").start()

    def add(self, folder: Path, output: Path, options: Sequence[str] = ()) -> Job:
        """Train a model when the trainings before are done.

        Args:
            folder: the recordings.
            output: the model file.
            options: further options of ``distill-prior train``, such as ``--resume``.
        """
        job = Job(folder, output, tuple(options))
        self.jobs.append(job)
        self._waiting.put(job)
        return job

    @property
    def running(self) -> Job | None:
        """The training that runs, or None."""
        return next((job for job in self.jobs if job.state == RUNNING), None)

    def _work(self) -> None:
        while True:
            job = self._waiting.get()
            try:
                job.run()
            except Exception as error:  # the next one is to run nevertheless
                job.state, job.message = FAILED, f"the training could not be started: {error}"
