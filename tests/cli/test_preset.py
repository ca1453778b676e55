"""Presets on the command line: saving, using, and what is refused."""

import json
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from hypothesis import given
from hypothesis import strategies as st

from distill_prior_gen.cli import cli
from distill_prior_gen.store.presets import NAME, list_presets, read_preset, save_preset


@pytest.fixture
def run(run, tmp_path, monkeypatch):
    monkeypatch.setenv("DISTILL_PRIOR_PRESETS", str(tmp_path / "presets"))

    def invoke(*arguments, code=0):
        result = run(*arguments)
        assert result.exit_code == code, result.output
        return result.stdout if code == 0 else result.stderr

    return invoke


def test_a_preset_is_saved_shown_listed_renamed_and_deleted(run):
    run(
        "preset",
        "save",
        "slow and dark",
        "-t",
        "0.8,0.5",
        "--bright",
        "0.9:0.1",
        "-d",
        20,
        "--loop",
    )
    expected = {"temperature": [0.8, 0.5], "bright": [0.9, 0.1], "duration": 20.0, "loop": True}
    assert json.loads(run("preset", "show", "slow and dark")) == expected
    assert json.loads(Path("presets/slow and dark.json").read_text()) == expected
    run("preset", "save", "B", "--preset", "slow and dark", "--evolve", "1:0.5")
    assert json.loads(run("preset", "show", "B")) == expected | {
        "temperature": 1.0,
        "temperature_end": 0.5,
    }
    assert run("preset", "list") == "B\nslow and dark\n"
    run("preset", "rename", "B", "A")
    assert list(json.loads(run("preset", "list", "--json"))) == ["A", "slow and dark"]
    run("preset", "rm", "A")
    assert run("preset", "list") == "slow and dark\n"


def config_of(run, *arguments):
    run("sample", "small.distill", "-o", "a.wav", "--force", "--quality", "fast", *arguments)
    return json.loads(Path("a.wav.json").read_text())["config"]


@pytest.fixture
def small(run, model_path):
    Path("small.distill").write_bytes(model_path.read_bytes())


def test_options_outdo_a_preset_which_outdoes_variables_and_configuration(run, small, monkeypatch):
    run("preset", "save", "mine", "-d", 2, "--top-k", 5, "--quality", "best", "--evolve", "1:0.5")
    Path("config.toml").write_text("[sample]\nduration = 3\ntop-k = 7\nmin-p = 0.02\n")
    monkeypatch.setenv("DISTILL_PRIOR_CONFIG", "config.toml")
    monkeypatch.setenv("DISTILL_PRIOR_SAMPLE_TOP_K", "6")
    monkeypatch.setenv("DISTILL_PRIOR_SAMPLE_TOP_P", "0.7")
    config = config_of(run, "--preset", "mine", "-d", 1.5)
    names = ("duration", "top_k", "top_p", "min_p", "quality", "temperature", "temperature_end")
    assert [config[name] for name in names] == [1.5, 5, 0.7, 0.02, "fast", 1.0, 0.5]
    config = config_of(run, "--preset", "mine", "-d", 1.5, "-t", 0.9)
    assert (config["temperature"], config["temperature_end"]) == (0.9, None)
    monkeypatch.setenv("DISTILL_PRIOR_SAMPLE_TEMPERATURE", "0.3")
    assert config_of(run, "--preset", "mine", "-d", 1.5)["temperature_end"] == 0.5
    monkeypatch.setenv("DISTILL_PRIOR_SAMPLE_PRESET", "mine")
    assert config_of(run, "-d", 1.5)["top_k"] == 5


def test_a_preset_counts_for_edits_and_replays_as_far_as_they_have_its_settings(run, small):
    run("preset", "save", "mine", "-d", 2, "--top-k", 5, "--quality", "fast")
    run("sample", "small.distill", "-o", "a.wav", "-d", 1, "--quality", "fast")
    run("redraw", "a.wav.json", "--span", "0:1", "--preset", "mine", "-o", "b.wav")
    sidecar = json.loads(Path("b.wav.json").read_text())
    assert sidecar["edits"][0]["config"]["top_k"] == 5
    assert sidecar["duration_s"] == 1.0
    run("replay", "a.wav.json", "--preset", "mine", "-o", "c.wav")
    assert json.loads(Path("c.wav.json").read_text())["config"]["duration"] == 2.0


PATHS = ["", ".", "..", "../x", "a/b", "/x", "a\\b", "C:x", ".hidden", "x.", " x", "x" * 61, "x\n"]


@pytest.mark.parametrize("name", PATHS)
def test_a_name_cannot_be_a_path(run, tmp_path, name):
    (tmp_path / "x.json").write_text("{}")
    for command in (["save", "--loop"], ["show"], ["rm"]):
        assert "cannot be the name of a preset" in run("preset", *command, "--", name, code=2)
    assert "cannot be the name" in run("sample", f"--preset={name}", code=2)
    assert [path.name for path in tmp_path.rglob("*")] == ["x.json"]


@given(st.text(max_size=70))
def test_every_name_that_is_allowed_is_that_of_a_file_in_the_folder(name):
    if NAME.fullmatch(name):
        path = Path("/presets") / f"{name}.json"
        assert path.parent == Path("/presets")
        assert path.resolve().parent == Path("/presets").resolve()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a preset"),
        ("[]", "it has no names and values"),
        ('{"seed": 7}', "seed is not a setting of a preset"),
        ('{"prompt": "/etc/passwd"}', "prompt is not a setting of a preset"),
        ('{"os.system": 1}', "os.system is not a setting"),
        ('{"temperature": 99}', "temperature must be"),
        ('{"temperature": NaN}', "temperature must be"),
        ('{"temperature": true}', "temperature must be"),
        ('{"temperature": "hot"}', "temperature must be"),
        ('{"top_k": [1.5]}', "top_k must be"),
        ('{"loop": 1}', "loop must be"),
        ('{"join": "glue"}', "join must be"),
        ('{"loop": true, "loop": false}', "a name occurs twice"),
        ('{"a": ' + "[" * 20_000, "is not a preset"),
        ('{"like": "' + "x" * 70_000 + '"}', "it is too large"),
        ("\udcff", "is not a preset"),
    ],
    ids=lambda text: text[:30],
)
def test_what_is_no_preset_is_refused_with_its_name(run, text, message):
    Path("presets").mkdir()
    Path("presets/odd.json").write_text(text, errors="surrogateescape")
    for command in (("preset", "show", "odd"), ("sample", "--preset", "odd")):
        said = run(*command, code=2)
        assert "odd.json" in said
        assert message in " ".join(said.split())


def test_nothing_is_overwritten_or_missing_silently(run):
    run("preset", "save", "one", "--loop")
    run("preset", "save", "two", "-d", 2)
    assert "there is a preset one already; --force replaces it" in run(
        "preset", "save", "one", "-d", 3, code=2
    )
    assert "there is a preset two already" in run("preset", "rename", "one", "two", code=2)
    for command in (("show", "x"), ("rm", "x"), ("rename", "x", "y")):
        assert "there is no preset x; there are: one, two" in run("preset", *command, code=2)
    assert "give at least one setting" in run("preset", "save", "three", code=2)
    assert json.loads(run("preset", "show", "one")) == {"loop": True}
    run("preset", "save", "one", "-d", 3, "--force")
    assert json.loads(run("preset", "show", "one")) == {"duration": 3.0}


def test_what_was_saved_is_read(run):
    settings = {"temperature": (1.0, 0.8), "like": "Glühwürmchen.wav", "dense": (0.0, 1.0)}
    save_preset("Ü 1.2", settings | {"seed": 7, "prompt": "x.wav"})
    assert read_preset("Ü 1.2") == settings
    assert list_presets() == ["Ü 1.2"]


def test_shells_complete_the_names_of_presets(run):
    run("preset", "save", "mine", "--loop")
    run("preset", "save", "other", "--loop")
    complete = ShellComplete(cli, {}, "distill-prior", "_DISTILL_PRIOR_COMPLETE")
    found = complete.get_completions(["sample", "--preset"], "m")
    assert [item.value for item in found] == ["mine"]
