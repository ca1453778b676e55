"""The options for a take on the command line, and making takes again from their sidecars."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from distill_prior_gen import GenerationConfig
from tests.helpers.models import write_model


@pytest.fixture
def run(run, model_path):
    shutil.copy(model_path, "small.distill")
    time = np.arange(12_000) / 8000
    soundfile.write("sound.wav", 0.4 * np.sin(2 * np.pi * 300 * time), 8000)
    return run


OPTIONS = {
    "plain": ([], {}),
    "independent": (
        ["--sampler", "independent", "--overlap", 20, "--join", "crossfade"],
        {"sampler": "independent", "overlap": 20, "join": "crossfade"},
    ),
    "levels": (
        ["-t", "1,0.5", "--top-k", "5,3", "--top-p", "0.8,1", "--context-columns", 1],
        {"temperature": (1, 0.5), "top_k": (5, 3), "top_p": (0.8, 1), "context_columns": 1},
    ),
    "evolve": (["--evolve", "0.5,1:2"], {"temperature": (0.5, 1.0), "temperature_end": 2.0}),
    "loop": (["--loop"], {"loop": True}),
    "prompt": (["--prompt", "sound.wav"], {"prompt": "sound.wav"}),
    "recording": (
        ["--prompt", "sound.wav", "--prompt-crossfade"],
        {"prompt": "sound.wav", "prompt_crossfade": True},
    ),
    "vary": (["--prompt", "sound.wav", "--vary", 0.5], {"prompt": "sound.wav", "vary": 0.5}),
}


@pytest.mark.slow
@pytest.mark.parametrize(("options", "settings"), OPTIONS.values(), ids=OPTIONS.keys())
def test_every_option_makes_its_take_and_a_replay_is_the_same(run, tmp_path, options, settings):
    made = run("sample", "small.distill", "-o", "a.wav", "-d", 1.5, "-s", 1, *options)
    assert made.exit_code == 0, made.output
    config = json.loads(Path("a.wav.json").read_text())["config"]
    expected = {
        "sampler": "continue",
        "vocoder": "mel-griffin-lim",
        "duration": 1.5,
        "seed": 1,
    } | settings
    assert GenerationConfig(**config) == GenerationConfig(**expected)
    Path("elsewhere").mkdir()
    replayed = run("replay", "a.wav.json", "-o", "elsewhere/b.wav")
    assert replayed.exit_code == 0, replayed.output
    assert replayed.stderr == ""
    assert Path("elsewhere/b.wav").read_bytes() == Path("a.wav").read_bytes()
    again = run("replay", "elsewhere/b.wav.json", "-o", "c.wav")
    assert again.exit_code == 0, again.output
    assert Path("c.wav").read_bytes() == Path("a.wav").read_bytes()


@pytest.mark.slow
def test_a_replay_keeps_the_format_unless_another_is_asked_for(run):
    run(
        "sample",
        "small.distill",
        "-o",
        "a.flac",
        "-d",
        1,
        "--bit-depth",
        16,
        "--sample-rate",
        44100,
    )
    run("replay", "a.flac.json", "-o", "folder")
    info = soundfile.info("folder/small-" + str(seed_of("a.flac.json")) + ".flac")
    assert (info.format, info.subtype, info.samplerate) == ("FLAC", "PCM_16", 44_100)
    assert run("replay", "a.flac.json", "-o", "b.wav", "--bit-depth", 32).exit_code == 0
    info = soundfile.info("b.wav")
    assert (info.format, info.subtype, info.samplerate) == ("WAV", "FLOAT", 44_100)


def seed_of(sidecar):
    return json.loads(Path(sidecar).read_text())["seed"]


@pytest.mark.slow
def test_options_take_the_place_of_what_the_sidecar_says(run):
    run("sample", "small.distill", "-o", "a.wav", "-d", 1.5, "-s", 1, "-t", 0.5)
    run("replay", "a.wav.json", "-o", "long.wav", "-d", 3)
    short, long = (soundfile.read(name)[0] for name in ("a.wav", "long.wav"))
    assert len(long) == 2 * len(short)
    assert json.loads(Path("long.wav.json").read_text())["config"]["temperature"] == 0.5
    # The same music: the phases differ, the spectra do not.
    level = [np.abs(np.fft.rfft(sound[:8000] * np.hanning(8000))) for sound in (short, long)]
    assert np.corrcoef(level)[0, 1] > 0.9
    run("replay", "a.wav.json", "-o", "other.wav", "-s", 2)
    assert json.loads(Path("other.wav.json").read_text())["config"]["seed"] == 2
    assert (soundfile.read("other.wav")[0] != short).any()


def test_another_model_or_prompt_is_played_with_a_warning(run):
    run("sample", "small.distill", "-o", "a.wav", "-d", 1, "--prompt", "sound.wav")
    write_model(Path("small.distill"), seed=1)
    (kept,) = Path("prompts").iterdir()
    soundfile.write(kept, np.random.default_rng(0).uniform(-0.5, 0.5, 9000), 8000)
    result = run("replay", "a.wav.json", "-o", "b.wav")
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        "Warning: small.distill is not the model that the take was made with",
        f"Warning: {kept.name} is not the prompt that the take was made with",
    ]
    assert run("replay", "a.wav.json", "-o", "c.wav", "-q").stderr == ""


def test_what_a_take_was_made_with_may_have_moved(run):
    run("sample", "small.distill", "-o", "a.wav", "-d", 1, "--prompt", "sound.wav")
    Path("small.distill").rename("moved.distill")
    Path("sound.wav").rename("moved.wav")
    result = run("replay", "a.wav.json", "-o", "b.wav")
    assert result.exit_code == 1
    said = "Error: small.distill is not there any more; give it with --model (its SHA-256 is "
    assert result.stderr.startswith(said)
    moved = ["--model", "moved.distill", "--prompt", "moved.wav"]
    result = run("replay", "a.wav.json", "-o", "b.wav", *moved)
    assert result.exit_code == 0, result.output
    assert Path("b.wav").read_bytes() == Path("a.wav").read_bytes()


def test_a_take_of_the_demo_is_replayed_wherever_the_demo_is(run):
    run("sample", "-o", "a.wav", "-d", 1, "-s", 1)
    sidecar = json.loads(Path("a.wav.json").read_text())
    sidecar["model"]["path"] = "another/installation/demo.distill"
    Path("a.wav.json").write_text(json.dumps(sidecar))
    assert run("replay", "a.wav.json", "-o", "b.wav").stderr == ""
    assert Path("b.wav").read_bytes() == Path("a.wav").read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "la la la",
        lambda text: "[]",
        lambda text: "null",
        lambda text: "{}",
        lambda text: text.replace('"tags": {}', '"tags": 1'),
        lambda text: text.replace('"config": {', '"settings": {'),
        lambda text: text.replace('"bit_depth": 24', '"bit_depth": "24"'),
        lambda text: text[:200],
        lambda text: text.replace('"tags": {}', '"tags": {"write": "x"}'),
        lambda text: text.replace('"tags": {}', '"tags": {"title": 1}'),
        lambda text: text.replace('"prompt": null,\n    "prompt_', '"prompt": "a",\n    "prompt_'),
    ],
)
def test_what_is_no_sidecar_is_refused(run, change):
    run("sample", "small.distill", "-o", "a.wav", "-d", 1)
    Path("a.wav.json").write_text(change(Path("a.wav.json").read_text()))
    result = run("replay", "a.wav.json", "-o", "b.wav")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: a.wav.json does not describe a take; give the .json")
    assert not Path("b.wav").exists()


def test_settings_of_a_newer_version_are_named(run):
    run("sample", "small.distill", "-o", "a.wav", "-d", 1)
    text = Path("a.wav.json").read_text().replace('"seed": ', '"swing": 1, "seed": ')
    Path("a.wav.json").write_text(text)
    result = run("replay", "a.wav.json")
    assert "settings that this version does not know (swing); install a newer one" in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-t", "1", "--evolve", "1:2"], "give --temperature or --evolve, not both"),
        (["--evolve", "2"], "'2' is not START:END, such as 0.7:1.3"),
        (["--evolve", "1:3"], "3.0 is not in the range 0.1<=x<=2.0"),
        (["-t", "1,x"], "'x' is not a valid float"),
        (["--top-k", "1,,2"], "'' is not a valid integer"),
        (["--vary", 0.5], "vary needs a prompt"),
        (["--prompt", "sound.wav", "--vary", 0.5, "--loop"], "vary and loop do not go together"),
        (["--context-columns", 0], "0 is not in the range 1<=x<=16"),
    ],
)
def test_options_that_make_no_sense_are_wrong_usage(run, options, message):
    result = run("sample", "small.distill", "-o", "a.wav", *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not Path("a.wav").exists()


@pytest.mark.parametrize("prompt", ["nowhere.wav", "small.distill"])
def test_a_prompt_that_cannot_be_read_is_one_line(run, prompt):
    result = run("sample", "small.distill", "-o", "a.wav", "--prompt", prompt)
    assert result.exit_code == 1
    assert prompt in result.stderr
    assert result.stderr.count("\n") == 1
    assert not Path("a.wav").exists()
