import json

import pytest
import soundfile

from tests.helpers.models import add_timeline, write_model


@pytest.fixture
def take(run, tmp_path):
    add_timeline(write_model(tmp_path / "small.distill"))
    result = run("sample", "small.distill", "-d", 3, "-s", 1, "-o", "a.wav", "--quality", "fast")
    assert result.exit_code == 0, result.output
    return tmp_path / "a.wav.json"


def test_a_redrawn_take_is_redrawn_again_and_replayed(run, take, tmp_path):
    result = run(
        "redraw", take, "--span", "1:1.5", "--span", "2:2.4", "-n", 2, "-s", 7, "-o", "b.wav"
    )
    assert result.exit_code == 0, result.output
    assert result.stdout == "b-1.wav\nb-2.wav\n"
    assert (tmp_path / "b-1.wav").read_bytes() != (tmp_path / "b-2.wav").read_bytes()
    sidecar = json.loads((tmp_path / "b-2.wav.json").read_text())
    (edit,) = sidecar["edits"]
    assert [(region["start"], region["end"]) for region in edit["settings"]["regions"]] == [
        (1, 1.5),
        (2, 2.4),
    ]
    assert edit["config"]["seed"] == 8
    assert sidecar["seed"] == 1
    options = ["--span", "0.5:1", "--band", "low", "--levels", "structure,1", "-t", 1.4, "-s", 2]
    assert run("redraw", "b-2.wav.json", *options, "-o", "c.wav").exit_code == 0
    edits = json.loads((tmp_path / "c.wav.json").read_text())["edits"]
    assert edits[0] == edit
    assert edits[1]["settings"]["regions"][0]["band"] == [0, 500]
    assert edits[1]["settings"]["regions"][0]["levels"] == [0, 1]
    assert edits[1]["config"]["temperature"] == 1.4
    assert run("replay", "c.wav.json", "-o", "d.wav").exit_code == 0
    assert (tmp_path / "c.wav").read_bytes() == (tmp_path / "d.wav").read_bytes()
    assert soundfile.info("d.wav").frames == 3 * 8000


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ([], 2, "give a --span, or --band, --levels or --mask"),
        (["--span", "1"], 2, "'1' is not A:B, such as 2.0:4.5"),
        (["--span", "2:1"], 2, "start must be before end"),
        (["--span", "1:2", "--band", "bass"], 2, "'bass' is not A:B"),
        (["--span", "1:2", "--levels", "pitch"], 2, "is not a list of structure, timbre, detail"),
        (["--span", "1:9"], 1, "within the 3 s of the take, not end at 9 s"),
        (["--span", "1:2", "--levels", "detail"], 1, "the model has levels 0 to 1, not 2"),
    ],
)
def test_what_cannot_be_redrawn_is_one_line(run, take, tmp_path, options, code, message):
    result = run("redraw", take, *options, "-o", "b.wav")
    assert result.exit_code == code
    assert message in result.stderr
    assert not (tmp_path / "b.wav").exists()


def test_settings_of_a_newer_version_are_named(run, take):
    contents = json.loads(take.read_text())
    contents["config"]["haunted"] = True
    take.write_text(json.dumps(contents))
    result = run("redraw", take, "--span", "1:2", "-o", "b.wav")
    assert result.exit_code == 1
    assert (
        "settings that this version does not know (haunted); install a newer one" in result.stderr
    )


@pytest.mark.parametrize(
    "edits",
    [
        "all",
        [1],
        [{"regions": [{"start": 2, "end": 1}], "config": {}}],
        [{"regions": [{"start": 0, "end": 1, "run": "rm"}], "config": {}}],
        [{"regions": [{"start": 0, "end": 1}], "config": {"temperature": "hot"}}],
    ],
)
def test_a_sidecar_with_senseless_edits_is_refused(run, take, edits):
    take.write_text(json.dumps(json.loads(take.read_text()) | {"edits": edits}))
    result = run("replay", take, "-o", "b.wav")
    assert result.exit_code == 1
    assert "does not describe a take" in result.stderr
