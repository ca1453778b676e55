import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch

import distill_prior_gen
from distill_prior_gen import GenerationConfig, GenerationResult, generate
from distill_prior_gen.atomic import atomic_write
from distill_prior_gen.export.files import write_take
from distill_prior_gen.export.naming import free_path
from distill_prior_gen.formats import ExportConfig
from distill_prior_gen.sampling.crossfaded_layout import CrossfadedWaveforms

RATE = 48_000
FREQUENCY = 997.0


@pytest.fixture
def sine() -> GenerationResult:
    """Half a second of a sine at -6 dB, and a jump to full scale at its end."""
    time = np.arange(RATE // 2) / RATE
    audio = (0.5 * np.sin(2 * np.pi * FREQUENCY * time)).astype(np.float32)
    audio[-1] = 1.0
    config = GenerationConfig(seed=12, temperature=0.7)
    empty = torch.empty(0)
    layout = CrossfadedWaveforms(len(audio), 1, len(audio), 0, 0, len(audio), 8192)
    return GenerationResult(audio, RATE, config, empty.long(), empty, layout, None, 1.0, {})


@pytest.mark.parametrize(
    ("form", "depth", "subtype", "error"),
    [
        ("wav", 16, "PCM_16", 2**-15),
        ("wav", 24, "PCM_24", 2**-23),
        ("wav", None, "PCM_24", 2**-23),
        ("wav", 32, "FLOAT", 0),
        ("flac", 16, "PCM_16", 2**-15),
        ("flac", 24, "PCM_24", 2**-23),
        ("ogg", None, "VORBIS", None),
        ("mp3", None, "MPEG_LAYER_III", None),
    ],
)
def test_every_format_keeps_the_sound(sine, model, tmp_path, form, depth, subtype, error):
    path = tmp_path / f"take.{form}"
    write_take(sine, model.identity, path, ExportConfig(form, bit_depth=depth))
    info = soundfile.info(path)
    assert (info.format, info.subtype) == (form.upper(), subtype)
    assert (info.samplerate, info.channels) == (RATE, 1)
    audio, _ = soundfile.read(path, dtype="float32")
    if error is not None:
        assert np.abs(audio - sine.audio).max() <= error
    else:
        spectrum = np.abs(np.fft.rfft(audio[: RATE // 4] * np.hanning(RATE // 4)))
        assert spectrum.argmax() * 4 == pytest.approx(FREQUENCY, abs=4)
        assert np.sqrt(np.mean(audio[:20_000] ** 2)) == pytest.approx(0.5 / 2**0.5, rel=0.02)


@pytest.mark.parametrize("form", ["wav", "flac", "ogg", "mp3"])
def test_tags_say_where_a_take_comes_from(sine, model, tmp_path, form):
    path = tmp_path / f"take.{form}"
    write_take(sine, model.identity, path, ExportConfig(form), tags={"album": "Found sounds"})
    with soundfile.SoundFile(path) as file:
        assert file.artist == "Distill"
        assert file.title == "small 12"
        assert file.album == "Found sounds"
        assert file.comment == "seed 12, model small 1234"
        if form != "mp3":  # libsndfile writes no such tag there
            assert file.software.startswith("distill-prior-gen")


@pytest.mark.parametrize("rate", [44_100, 48_000, 96_000])
def test_the_sample_rate_is_really_changed(sine, model, tmp_path, rate):
    path = tmp_path / "take.wav"
    sine.audio[-1] = 0
    write_take(sine, model.identity, path, ExportConfig(sample_rate=rate, bit_depth=32))
    audio, read_rate = soundfile.read(path)
    assert read_rate == rate
    assert len(audio) == rate // 2
    expected = 0.5 * np.sin(2 * np.pi * FREQUENCY * np.arange(rate // 2) / rate)
    middle = slice(rate // 20, -rate // 20)
    assert np.abs(audio - expected)[middle].max() < 1e-4


def test_resampling_does_not_clip(sine, model, tmp_path):
    sine.audio[:] = np.sign(sine.audio)
    sidecar = write_take(
        sine, model.identity, tmp_path / "square.wav", ExportConfig(sample_rate=44_100)
    )
    audio, _ = soundfile.read(tmp_path / "square.wav")
    assert sidecar.gain < 1
    assert np.abs(audio).max() == pytest.approx(1, abs=1e-6)


def test_the_sidecar_holds_all_that_makes_the_take_again(model, tmp_path):
    config = GenerationConfig(duration=1.5, temperature=0.8, top_k=5, seed=21)
    result = generate(model, config)
    write_take(result, model.identity, tmp_path / "take.wav", ExportConfig(bit_depth=32))
    sidecar = json.loads((tmp_path / "take.wav.json").read_text())
    assert sidecar["version"] == distill_prior_gen.__version__
    assert (tmp_path / sidecar["model"].pop("path")).samefile(model.path)
    assert sidecar["model"] == {
        "name": "small",
        "id": "1234",
        "file": "small.distill",
        "sha256": model.sha256,
        "codes_id": model.codes_id,
    }
    sha256 = subprocess.run(["sha256sum", model.path], capture_output=True, text=True).stdout
    assert sha256.startswith(model.sha256)
    assert sidecar["seed"] == 21
    assert (sidecar["sample_rate"], sidecar["duration_s"]) == (8000, 1.5)
    again = generate(model, GenerationConfig(**sidecar["config"]))
    audio, _ = soundfile.read(tmp_path / "take.wav", dtype="float32")
    assert (again.audio == audio).all()


@pytest.mark.parametrize("taken", ["take.wav", "take.wav.json"])
def test_nothing_is_overwritten_unless_asked(sine, model, tmp_path, taken):
    (tmp_path / taken).write_text("mine")
    with pytest.raises(FileExistsError, match=taken):
        write_take(sine, model.identity, tmp_path / "take.wav", ExportConfig())
    assert [path.name for path in tmp_path.iterdir()] == [taken]
    assert (tmp_path / taken).read_text() == "mine"
    if taken.endswith(".json"):
        with pytest.raises(FileExistsError, match="does not describe a take"):
            write_take(sine, model.identity, tmp_path / "take.wav", ExportConfig(), overwrite=True)
        assert (tmp_path / taken).read_text() == "mine"
    else:
        write_take(sine, model.identity, tmp_path / "take.wav", ExportConfig(), overwrite=True)
        assert soundfile.info(tmp_path / "take.wav").frames == RATE // 2


def test_a_name_that_is_taken_meanwhile_is_left_alone(tmp_path):
    path = tmp_path / "take.wav"
    with pytest.raises(FileExistsError), atomic_write(path) as partial:
        partial.write_text("new")
        path.write_text("mine")
    assert path.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_write_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), atomic_write(tmp_path / "take.wav") as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.posix
@pytest.mark.slow
def test_a_full_disk_leaves_nothing(model, tmp_path):
    """The limit on the size of files stands for the disk: writes beyond it fail."""
    program = """
import resource, signal, sys
from pathlib import Path
from distill_prior_gen import GenerationConfig, generate, load_model
from distill_prior_gen.export.files import write_take
from distill_prior_gen.formats import ExportConfig
model = load_model(sys.argv[1], "cpu")
result = generate(model, GenerationConfig(seed=0))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_take(result, model.identity, Path(sys.argv[2]), ExportConfig())
except OSError as error:
    print(error)
"""
    path = tmp_path / "take.wav"
    run = subprocess.run(
        [sys.executable, "-c", program, model.path, path], capture_output=True, text=True
    )
    assert f"File too large: '{path}'" in run.stdout, run.stderr
    assert list(tmp_path.iterdir()) == []


def test_names_in_a_folder_never_collide(tmp_path):
    export = ExportConfig()
    names = []
    for _ in range(3):
        path = free_path(tmp_path, "Rain / Roof", 7, export)
        path.touch()
        names.append(path.name)
    (tmp_path / "Rain_Roof-7-4.wav.json").touch()
    names.append(free_path(tmp_path, "Rain / Roof", 7, export).name)
    assert names == [
        "Rain_Roof-7.wav",
        "Rain_Roof-7-2.wav",
        "Rain_Roof-7-3.wav",
        "Rain_Roof-7-5.wav",
    ]
    assert free_path(tmp_path, "../..", 7, export) == tmp_path / "take-7.wav"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"format": "aiff"}, "format must be one of wav, flac, ogg, mp3, not 'aiff'"),
        ({"sample_rate": 12345}, "sample_rate must be one of 44100, 48000, 96000, not 12345"),
        ({"format": "mp3", "sample_rate": 96000}, "sample_rate must be .* for mp3"),
        ({"format": "flac", "bit_depth": 32}, "bit_depth must be 16 or 24 for flac, not 32"),
        ({"format": "ogg", "bit_depth": 16}, "bit_depth must be left out for ogg"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ExportConfig(**settings)
