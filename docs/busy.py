"""Time takes while other programs are busy: the table in docs/performance.md.

    python docs/busy.py [MODEL]

Without MODEL, it uses the one of ``distill-prior benchmark --random``. Run it on an idle machine.
"""

import argparse
import multiprocessing
import subprocess
import sys
import time
from contextlib import contextmanager, nullcontext
from multiprocessing.pool import Pool
from multiprocessing.synchronize import Barrier
from statistics import median

from distill_prior_gen import GenerationConfig, generate, load_model, torch_state
from distill_prior_gen.evaluation.benchmark import random_model
from distill_prior_gen.model import PriorModel

MODEL: PriorModel
SPAWN = multiprocessing.get_context("spawn")


def prepare(path: str | None, one_thread: bool, ready: Barrier) -> None:
    """Load the model in a process that makes takes, and warm up."""
    global MODEL
    if not one_thread:
        torch_state._one_thread = nullcontext
    MODEL = load_model(path, "cpu") if path else random_model()
    make(1)
    ready.wait()


def make(seconds: float) -> None:
    generate(MODEL, GenerationConfig(duration=seconds, seed=0, allow_long=True))


@contextmanager
def processes(path: str | None, one_thread: bool, takes: int):
    """Pool of `takes` processes, each of which makes one take at a time."""
    ready = SPAWN.Barrier(takes + 1)
    with SPAWN.Pool(takes, prepare, (path, one_thread, ready)) as pool:
        ready.wait()
        yield pool


def measure(pool: Pool, takes: int, seconds: float, busy: int) -> float:
    """Seconds until all takes are finished while `busy` other programs run."""
    programs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
    try:
        time.sleep(0.5)  # until they are busy
        start = time.perf_counter()
        pool.map(make, [seconds] * takes, chunksize=1)
        return time.perf_counter() - start
    finally:
        for program in programs:
            program.kill()
            program.wait()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    print("| takes at once | busy programs | PyTorch's threads | one thread | |")
    print("|---|---|---|---|---|")
    for takes, loads in ((1, (0, 1, 2, 3)), (3, (0,))):
        with (
            processes(arguments.model, False, takes) as several,
            processes(arguments.model, True, takes) as one,
        ):
            for busy in loads:
                # Alternating, so that both find the machine in the same state.
                times = [
                    [measure(pool, takes, arguments.seconds, busy) for pool in (several, one)]
                    for _ in range(arguments.runs)
                ]
                before, now = map(median, zip(*times, strict=True))
                print(
                    f"| {takes} | {busy} | {before:.1f} s | {now:.1f} s | {before / now:.1f}x |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
