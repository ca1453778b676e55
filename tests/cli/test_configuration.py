import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from distill_prior_gen.cli.configuration import config_path


@pytest.fixture
def sample(run, model_path, monkeypatch):
    """Runs ``distill-prior sample`` with options, and returns the settings of the take."""
    Path("config.toml").write_text("")
    monkeypatch.setenv("DISTILL_PRIOR_CONFIG", "config.toml")

    def invoke(*options):
        result = run("sample", model_path, "-o", "a.wav", "--force", *options)
        assert result.exit_code == 0, result.output
        return json.loads(Path("a.wav.json").read_text())["config"]

    return invoke


def test_an_option_outdoes_a_variable_and_that_outdoes_the_file(sample, monkeypatch):
    assert sample("-d", 1)["duration"] == 1
    Path("config.toml").write_text('[sample]\nduration = 2\nquality = "fast"\n')
    assert (sample()["duration"], sample()["quality"]) == (2, "fast")
    monkeypatch.setenv("DISTILL_PRIOR_SAMPLE_DURATION", "1.5")
    assert (sample()["duration"], sample()["quality"]) == (1.5, "fast")
    assert sample("-d", 1)["duration"] == 1


def test_every_kind_of_option_can_be_a_default(sample):
    lines = ["duration = 1", "temperature = [1.0, 0.5]", "loop = true", 'loudness = "-30"']
    Path("config.toml").write_text(
        "\n".join(["[sample]", *lines, "top-p = 0.5", "no-progress = true"])
    )
    config = sample()
    assert config["temperature"] == [1.0, 0.5]
    assert config["loop"] is True
    assert config["top_p"] == 0.5
    assert json.loads(Path("a.wav.json").read_text())["loudness"] == -30


def test_a_default_replaces_what_a_sidecar_says(sample, run):
    sample("-d", 1, "-t", 0.7)
    Path("config.toml").write_text("[replay]\ntemperature = 1.2\n")
    assert run("replay", "a.wav.json", "-o", "b.wav").exit_code == 0
    assert json.loads(Path("b.wav.json").read_text())["config"]["temperature"] == 1.2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[sample\n", "config.toml is not a TOML file"),
        ("[sing]\nduration = 2\n", "config.toml: sing is not a command; there can be [sample]"),
        ("duration = 2\n", "config.toml: duration is not a command"),
        ("[sample]\nswing = 2\n", "config.toml: [sample] swing is not an option of sample"),
        ("[sample]\nduration = 'long'\n", "'long' is not a valid float"),
        ("[sample]\nduration = 0.1\n", "0.1 is not in the range"),
        (None, "config.toml, named by $DISTILL_PRIOR_CONFIG, is missing"),
    ],
)
def test_a_wrong_file_is_one_sentence(sample, run, text, message):
    if text is None:
        Path("config.toml").unlink()
    else:
        Path("config.toml").write_text(text)
    result = run("sample", "small.distill")
    assert result.exit_code in (1, 2)
    assert message in result.stderr


def test_without_a_variable_the_file_is_in_the_users_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("DISTILL_PRIOR_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    if sys.platform == "linux":
        assert config_path() == tmp_path / "distill-prior" / "config.toml"
    assert config_path().name == "config.toml"


@pytest.mark.parametrize(
    ("shell", "words", "expected"),
    [
        ("bash", "distill-prior sam", "sample"),
        ("zsh", "distill-prior redraw --ma", "--mask"),
        ("fish", "distill-prior sample --qual", "--quality"),
    ],
)
def test_shells_complete_commands_and_options(shell, words, expected):
    parts = words.split()
    environment = os.environ | {
        "_DISTILL_PRIOR_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": parts[-1] if shell == "fish" else words,
        "COMP_CWORD": parts[-1] if shell == "fish" else str(len(parts) - 1),
        "DISTILL_PRIOR_CONFIG": "nowhere.toml",
    }
    if shell == "fish":
        environment["COMP_WORDS"] = words
    code = "from distill_prior_gen.cli import cli; cli(prog_name='distill-prior')"
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert expected in result.stdout, result.stderr
