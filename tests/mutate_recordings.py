"""Reads damaged recordings, which must end in samples or in a `RecordingError`.

``python -m tests.mutate_recordings 1000`` damages so many recordings of all formats and says what
else came of them. ``--seed`` makes others.
"""

from __future__ import annotations

import argparse
import io
import random
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile

from distill_prior_gen.audio.decoding import RecordingError, open_recording
from distill_prior_gen.audio.recordings import read_last_sound, read_mono

RATE = 8000
SLOW = 10.0
"""Seconds that reading a damaged recording may take; it lasts half a second."""

WITHOUT_READER = ("RAW", "SD2")
LENGTHS = [0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF]


def whole_recordings() -> dict[str, bytes]:
    """A recording of half a second in each format and encoding, by name."""
    time = np.arange(RATE // 2) / RATE
    sound = 0.3 * np.sin(2 * np.pi * 440 * time) * np.exp(-3 * time)
    recordings = {}
    for format_name in soundfile.available_formats():
        if format_name in WITHOUT_READER:
            continue
        for encoding in soundfile.available_subtypes(format_name):
            for channels in (2, 1):
                file = io.BytesIO()
                samples = np.stack([sound] * channels, axis=1)
                try:
                    soundfile.write(file, samples, RATE, encoding, format=format_name)
                except soundfile.LibsndfileError:
                    continue
                recordings[f"{format_name}-{encoding}"] = file.getvalue()
                break
    return recordings


def damaged(whole: dict[str, bytes], count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Names and contents of `count` damaged recordings."""
    names = sorted(whole)
    for number in range(count):
        draw = random.Random(f"{seed} {number}")
        name = draw.choice(names)
        data = bytearray(whole[name])
        for _ in range(draw.choice([1, 1, 2, 5, 20])):
            # Half of the damage is done to the header.
            place = draw.randrange(min(len(data), draw.choice([64, 200, len(data)])) or 1)
            match draw.choice(["byte", "length", "cut", "hole", "insert", "remove", "other"]):
                case "byte":
                    data[place : place + 1] = bytes([draw.randrange(256)])
                case "length":
                    order = draw.choice(["little", "big"])
                    width = draw.choice([2, 4, 8])
                    value = draw.choice(LENGTHS) % 256**width
                    data[place : place + width] = value.to_bytes(width, order)
                case "cut":
                    del data[draw.randrange(len(data) + 1) :]
                case "hole":
                    data[place : place + 100] = bytes(100)
                case "insert":
                    data[place:place] = draw.randbytes(draw.randrange(1, 50))
                case "remove":
                    del data[place : place + draw.randrange(1, 50)]
                case "other":
                    data += whole[draw.choice(names)][: draw.randrange(1, 2000)]
            if not data:
                break
        yield f"{number}-{name}.wav", bytes(data)


def trouble(path: Path) -> str | None:
    """What else than samples or a `RecordingError` comes of reading a recording, in words."""
    start = time.monotonic()
    try:
        samples = read_mono(path, RATE)
        if not len(samples) or not samples.isfinite().all():
            return "gave no samples, or some that are not finite"
        with open_recording(path) as source:
            end, peak = read_last_sound(source, RATE, 1000)
        if not 0 < len(end) <= 1000 or not end.isfinite().all() or not peak > 0:
            return "gave no end"
    except RecordingError as error:
        if not error.reason or str(path) not in str(error):
            return f"gave a poor message: {error}"
    except Exception as error:
        return f"raised {error!r}"
    seconds = time.monotonic() - start
    return f"took {seconds:.0f} s" if seconds > SLOW else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    troubles = 0
    with TemporaryDirectory() as folder:
        path = Path(folder) / "damaged"
        for name, data in damaged(whole_recordings(), arguments.count, arguments.seed):
            print(name, end="\r", flush=True)  # the last one, should the process crash
            path.write_bytes(data)
            if problem := trouble(path):
                print(f"{name} {problem}")
                troubles += 1
    print(f"{arguments.count} recordings, {troubles} with trouble")
    raise SystemExit(troubles > 0)


if __name__ == "__main__":
    main()
