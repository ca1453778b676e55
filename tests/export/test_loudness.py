import json
import struct
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from distill_prior_gen import GenerationConfig, Region, generate, redraw
from distill_prior_gen.export.files import write_take
from distill_prior_gen.export.loudness import measure_loudness, true_peak
from distill_prior_gen.formats import ExportConfig

RATE = 48_000


def sine(frequency, amplitude, seconds=3.0, phase=0.0):
    time = np.arange(round(seconds * RATE)) / RATE
    return (amplitude * np.sin(2 * np.pi * frequency * time + phase)).astype(np.float32)


@pytest.mark.parametrize("seconds", [0.2, 3.0])
@pytest.mark.parametrize("level", [-40.0, -20.0, 0.0])
def test_loudness_is_that_of_the_recommendation(level, seconds):
    """BS.1770-4: a sine of 997 Hz at 0 dBFS in one channel has -3.01 LUFS."""
    audio = sine(997, 10 ** (level / 20), seconds)
    assert measure_loudness(audio, RATE) == pytest.approx(level - 3.01, abs=0.1)
    assert measure_loudness(np.zeros_like(audio), RATE) == -np.inf


def test_peaks_between_samples_are_found():
    """A quarter of the sample rate, sampled beside its peaks: 3 dB more than any sample."""
    audio = sine(RATE / 4, 1.0, phase=np.pi / 4)
    assert np.abs(audio).max() == pytest.approx(0.5**0.5, rel=1e-4)
    assert true_peak(audio[200:-200], RATE) == pytest.approx(1.0, rel=0.03)


@pytest.fixture(scope="module")
def take(model):
    return generate(model, GenerationConfig(duration=2, seed=1, quality="fast"))


@pytest.mark.parametrize("form", ["wav", "flac", "ogg"])
@pytest.mark.parametrize("loudness", [-45.0, -30.0])
def test_a_file_is_as_loud_as_was_asked_for(take, model, tmp_path, form, loudness):
    path = tmp_path / f"take.{form}"
    sidecar = write_take(take, model.identity, path, ExportConfig(form, loudness=loudness))
    audio, rate = soundfile.read(path, dtype="float32")
    assert measure_loudness(audio, rate) == pytest.approx(loudness, abs=0.3)
    assert sidecar.loudness == loudness
    assert json.loads((tmp_path / f"take.{form}.json").read_text())["loudness"] == loudness


def test_peaks_are_lower_than_full_scale_however_loud_it_shall_be(take, model, tmp_path):
    write_take(take, model.identity, tmp_path / "a.wav", ExportConfig(loudness=0.0))
    audio, rate = soundfile.read(tmp_path / "a.wav", dtype="float32")
    assert true_peak(audio, rate) == pytest.approx(10 ** (-1 / 20), rel=0.01)


def chunks(path):
    """The chunks of a RIFF file by name, read by the rules of the format."""
    data = path.read_bytes()
    assert data[:4] == b"RIFF"
    assert data[8:12] == b"WAVE"
    assert struct.unpack("<I", data[4:8])[0] == len(data) - 8
    place, found = 12, {}
    while place < len(data):
        name, size = struct.unpack("<4sI", data[place : place + 8])
        found[name] = data[place + 8 : place + 8 + size]
        place += 8 + size + size % 2
    return found


@pytest.mark.parametrize("rate", [None, 44_100])
def test_a_loop_has_loop_points(model, tmp_path, rate):
    loop = generate(model, GenerationConfig(duration=2, seed=1, loop=True, quality="fast"))
    path = tmp_path / "loop.wav"
    write_take(loop, model.identity, path, ExportConfig(sample_rate=rate))
    sampler = struct.unpack("<15I", chunks(path)[b"smpl"])
    assert sampler[2] == round(1e9 / (rate or 8000))
    assert sampler[7] == 1
    assert sampler[11:13] == (0, soundfile.info(path).frames - 1)
    # libsndfile reads them as well: mode, start, end and count of the first of its loops.
    with soundfile.SoundFile(path) as file:
        instrument = soundfile._ffi.new("char[]", 272)
        assert soundfile._snd.sf_command(file._file, 0x10D0, instrument, 272)
        fields = struct.unpack("<i6bxxi4I", bytes(soundfile._ffi.buffer(instrument))[:32])
    assert fields[7] == 1
    assert fields[9:11] == (0, soundfile.info(path).frames)


def test_markers_are_at_the_borders_of_chunks_and_edits(model, take, tmp_path):
    edited = redraw(model, take, [Region(1.0, 1.2)], GenerationConfig(seed=3))
    path = tmp_path / "take.wav"
    for result, expected in ((take, take.boundaries), (edited, edited.edits[0].spans[0])):
        write_take(result, model.identity, path, ExportConfig(markers=True), overwrite=True)
        content = chunks(path)[b"cue "]
        (count,) = struct.unpack("<I", content[:4])
        markers = [struct.unpack("<II4sIII", content[4 + 24 * n :][:24]) for n in range(count)]
        assert [marker[5] for marker in markers] == list(expected)
        assert [marker[0] for marker in markers] == list(range(1, count + 1))
    write_take(take, model.identity, path, ExportConfig(), overwrite=True)
    assert not {b"cue ", b"smpl"} & chunks(path).keys()


def test_markers_scale_with_the_sample_rate(model, take, tmp_path):
    path = tmp_path / "take.wav"
    write_take(take, model.identity, path, ExportConfig(sample_rate=96_000, markers=True))
    place = struct.unpack("<I", chunks(path)[b"cue "][24:28])[0]
    assert place == pytest.approx(take.boundaries[0] * 12, abs=1)


def test_markers_and_loudness_are_checked(take):
    with pytest.raises(ValueError, match="markers are for wav only, not for flac"):
        ExportConfig("flac", markers=True)
    with pytest.raises(ValueError, match="loudness must be"):
        ExportConfig(loudness=3.0)
    assert replace(ExportConfig(), loudness=-14).loudness == -14


def test_a_replay_is_as_loud_as_the_take(run, model_path, tmp_path):
    options = ["-d", 1, "-s", 1, "--quality", "fast", "--loudness", -30]
    assert run("sample", model_path, *options, "-o", "a.wav", "-n", 2).exit_code == 0
    for name in ("a-1", "a-2"):
        audio, rate = soundfile.read(tmp_path / f"{name}.wav", dtype="float32")
        assert measure_loudness(audio, rate) == pytest.approx(-30, abs=0.2)
    assert run("replay", "a-2.wav.json", "-o", "b.wav").exit_code == 0
    assert (tmp_path / "b.wav").read_bytes() == (tmp_path / "a-2.wav").read_bytes()
    assert run("sample", model_path, "--markers", "-f", "flac").exit_code == 2
