"""``distill-prior stream``: play without end."""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click

from distill_prior_gen.cli import options
from distill_prior_gen.cli.running import check_registered, create_config
from distill_prior_gen.config import DESCRIPTORS, GenerationConfig
from distill_prior_gen.demo import demo_model
from distill_prior_gen.training.interrupts import defer_signals

if TYPE_CHECKING:
    import numpy as np

ENDLESS = (
    *("temperature", "top-p", "top-k", "min-p", "prompt", "sampler", "wander", "like"),
    *(*DESCRIPTORS, "context-columns", "vocoder", "quality", "seed"),
)
"""Those of `options.TAKE` that need no end."""

UNKNOWN_SIZE = 0xFFFFFFFF
"""Size of a chunk of a WAV file that goes on until the file ends."""

Player = Callable[["np.ndarray"], None]
"""Function that plays or writes samples ``[samples]`` and returns when it can take more."""


@click.command()
@click.argument("model", type=click.Path(path_type=Path), required=False)
@click.option("--wav", is_flag=True, help="Write a WAV file, whose header tells no length.")
@click.option("--play", is_flag=True, help="Play on the sound card; needs the extra [play].")
@options.take(show_default=True, names=ENDLESS)
@options.device
@options.quiet
def stream(
    model: Path | None, wav: bool, play: bool, device: str, quiet: bool, **settings: Any
) -> None:
    """Play without end, from MODEL or from the demo model.

    Writes 16-bit little-endian mono samples at the sample rate of the model to standard
    output, until the program that reads them ends, or until Ctrl-C. They begin as the take
    with the same seed and settings does.
    """
    if wav and play:
        raise click.UsageError("give --wav or --play, not both")
    if not play and sys.stdout.isatty():
        raise click.UsageError(
            "standard output is a terminal; send it to a player, as in "
            "'distill-prior stream --wav | ffplay -', or use --play"
        )
    try:
        config = create_config(options.explicit_settings(settings))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    check_registered(config)
    try:
        _play(model or demo_model(), config, wav, play, device, quiet)
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        # Python would write the rest when it ends, and report the error again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _play(
    path: Path, config: GenerationConfig, wav: bool, play: bool, device: str, quiet: bool
) -> None:
    """Play until an exception ends it."""
    if play:
        _import_sounddevice()
    from distill_prior_gen.model import load_model
    from distill_prior_gen.sampling.random_streams import new_seed
    from distill_prior_gen.streaming import stream as endless

    model = load_model(path, device)
    config = replace(config, seed=new_seed() if config.seed is None else config.seed)
    pieces = endless(model, config)
    if not quiet:
        click.echo(f"seed {config.seed}; {model.sample_rate} Hz, 16 bit, mono", err=True)
    output = _sound_card(model.sample_rate) if play else _standard_output(model.sample_rate, wav)
    # The program must not end while the thread computes, however often Ctrl-C is pressed.
    with output as player, defer_signals() as signals, ThreadPoolExecutor(1) as worker:
        following = worker.submit(next, pieces)
        while True:
            with signals.allowed():
                piece = following.result()
                following = worker.submit(next, pieces)  # made while this one is played
                player(piece)


@contextmanager
def _standard_output(sample_rate: int, wav: bool) -> Iterator[Player]:
    output = sys.stdout.buffer
    if wav:
        output.write(_wav_header(sample_rate))

    def player(piece: np.ndarray) -> None:
        output.write((piece * 32767).round().astype("<i2").tobytes())
        output.flush()

    yield player


def _wav_header(sample_rate: int) -> bytes:
    """The beginning of a WAV file of 16-bit mono samples that has no end."""
    format_ = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, sample_rate, 2 * sample_rate, 2, 16)
    riff = struct.pack("<4sI4s", b"RIFF", UNKNOWN_SIZE, b"WAVE")
    return riff + format_ + struct.pack("<4sI", b"data", UNKNOWN_SIZE)


@contextmanager
def _sound_card(sample_rate: int) -> Iterator[Player]:
    stream = _import_sounddevice().OutputStream(sample_rate, channels=1, dtype="float32")
    with stream as output:
        yield lambda piece: output.write(piece[:, None])


def _import_sounddevice() -> ModuleType:
    """Import sounddevice, or raise a ClickException that tells what to install."""
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError where PortAudio is missing
        raise click.ClickException(
            f"--play needs sounddevice and PortAudio ({error}); run "
            "pip install 'distill-prior-gen[play]', on Linux also apt install libportaudio2"
        ) from error
    return sounddevice
