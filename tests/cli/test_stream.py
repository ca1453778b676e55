import io
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from distill_prior_gen import GenerationConfig, load_model, stream
from distill_prior_gen.audio.recordings import read_mono
from distill_prior_gen.demo import demo_model

FAST = ["--seed", "7", "--quality", "fast"]


def started(arguments, **extra):
    """A running ``distill-prior stream``."""
    return subprocess.Popen(
        [sys.executable, "-m", "distill_prior_gen", "stream", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **extra,
    )


def first_bytes(arguments, count):
    """The first bytes on standard output, and what the process does when nobody reads more."""
    process = started(arguments)
    output = process.stdout.read(count)
    process.stdout.close()
    stderr = process.stderr.read().decode()
    return output, process.wait(timeout=60), stderr


@pytest.mark.posix
@pytest.mark.slow
def test_samples_go_to_a_pipe_until_it_is_closed(model_path):
    output, code, stderr = first_bytes([model_path, *FAST], 50_000)
    assert (code, stderr) == (0, "seed 7; 8000 Hz, 16 bit, mono\n")
    pieces = stream(load_model(model_path, "cpu"), GenerationConfig(seed=7, quality="fast"))
    expected = np.concatenate([next(pieces), next(pieces)])[:25_000]
    np.testing.assert_allclose(np.frombuffer(output, "<i2"), 32767 * expected, atol=0.51)


@pytest.mark.posix
@pytest.mark.slow
def test_wav_files_can_be_read_while_they_have_no_length(model_path, tmp_path):
    raw, _, stderr = first_bytes([model_path, *FAST, "-q"], 40_000)
    assert stderr == ""
    wav, code, _ = first_bytes([model_path, *FAST, "--wav"], 44 + 40_000)
    assert code == 0
    path = tmp_path / "stream.wav"
    path.write_bytes(wav)
    read, rate = soundfile.read(io.BytesIO(wav), dtype="int16")
    assert (rate, read.tobytes()) == (8000, raw)
    assert len(read_mono(path, 8000)) == 20_000


@pytest.mark.posix
@pytest.mark.slow
@pytest.mark.parametrize("signals", [1, 2])
def test_ctrl_c_ends_it_silently(model_path, signals):
    process = started([model_path, *FAST, "-q"])
    assert process.stdout.read(1)
    for _ in range(signals):
        process.send_signal(signal.SIGINT)
        time.sleep(0.001)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(timeout=60) == 0


@pytest.mark.slow
def test_it_is_three_times_faster_than_sound():
    """After the first piece; with the demo model."""
    model = load_model(demo_model(), "cpu")
    pieces = stream(model, GenerationConfig(seed=1))
    next(pieces)
    start = time.process_time()
    seconds = sum(len(next(pieces)) for _ in range(5)) / model.sample_rate
    assert seconds / (time.process_time() - start) > 3


SOUND_CARD = """
import sys

class OutputStream:
    def __init__(self, samplerate, channels, dtype):
        self.file = open("heard", "wb")
        self.file.write(f"{samplerate} {channels} {dtype}\\n".encode())
    def __enter__(self):
        return self
    def __exit__(self, *error):
        self.file.close()
    def write(self, samples):
        self.file.write(samples.tobytes())
        if self.file.tell() > 100_000:
            raise KeyboardInterrupt
"""


@pytest.mark.slow
def test_it_plays_on_the_sound_card(model_path, tmp_path):
    """With a stand-in for the package sounddevice, which needs a sound card."""
    (tmp_path / "sounddevice.py").write_text(SOUND_CARD)
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    process = started(
        [model_path, *FAST, "-q", "--play"], cwd=tmp_path, env=os.environ | {"PYTHONPATH": path}
    )
    assert process.communicate(timeout=60) == (b"", b"")
    assert process.returncode == 0
    header, samples = (tmp_path / "heard").read_bytes().split(b"\n", 1)
    assert header == b"8000 1 float32"
    heard = np.frombuffer(samples, np.float32)
    pieces = stream(load_model(model_path, "cpu"), GenerationConfig(seed=7, quality="fast"))
    assert np.array_equal(heard[: len(first := next(pieces))], first)


def test_without_sounddevice_it_says_what_to_install(run, model_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    result = run("stream", model_path, "--play")
    assert result.exit_code == 1
    assert "pip install 'distill-prior-gen[play]'" in result.stderr


def test_samples_are_not_written_to_a_terminal(run, model_path, monkeypatch):
    monkeypatch.setattr(
        "click.testing._NamedTextIOWrapper.isatty", lambda self: True, raising=False
    )
    result = run("stream", model_path)
    assert result.exit_code == 2
    assert "standard output is a terminal; send it to a player" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--wav", "--play"], "give --wav or --play, not both"),
        (["--sampler", "nothing"], "not 'nothing'"),
        (["--bright", "0:1"], "bright"),
        (["--sampler", "independent"], "cannot go on without end; use 'timeline' or 'continue'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(run, arguments, message):
    result = run("stream", *arguments)
    assert result.exit_code in (1, 2)
    assert message in result.stderr.splitlines()[-1]
    assert result.stdout == ""
