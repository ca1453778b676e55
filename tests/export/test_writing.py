"""Takes on their way to disk: names, places, kills, and what a take keeps to be made again."""

import json
import os
import random
import signal
import stat
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from distill_prior_gen import GenerationConfig, generate
from distill_prior_gen.atomic import atomic_write
from distill_prior_gen.export.files import write_take
from distill_prior_gen.formats import ExportConfig

FAST = ["-d", "1", "--quality", "fast"]


@pytest.fixture(scope="module")
def take(model):
    return generate(model, GenerationConfig(duration=1, seed=1, quality="fast"))


def test_a_file_has_its_final_name_only_when_it_is_whole(tmp_path):
    path = tmp_path / "x.txt"
    with atomic_write(path) as partial:
        partial.write_text("whole")
        assert not path.exists()
        assert partial.name.startswith(".")
    assert path.read_text() == "whole"
    assert os.listdir(tmp_path) == ["x.txt"]


def test_a_name_that_is_taken_meanwhile_is_left_alone(tmp_path):
    path = tmp_path / "x.txt"
    with pytest.raises(FileExistsError, match=r"x\.txt exists"), atomic_write(path) as partial:
        partial.write_text("late")
        path.write_text("early")
    assert path.read_text() == "early"
    assert os.listdir(tmp_path) == ["x.txt"]


@pytest.mark.posix
def test_links_are_followed_and_permissions_kept(tmp_path):
    (tmp_path / "far").mkdir()
    target = tmp_path / "far" / "x.txt"
    target.write_text("old")
    target.chmod(0o640)
    link = tmp_path / "link.txt"
    link.symlink_to(target)
    with atomic_write(link, overwrite=True) as partial:
        partial.write_text("new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_the_longest_name_can_be_written(tmp_path):
    path = tmp_path / ("é" * 127)
    with atomic_write(path) as partial:
        partial.write_text("x")
    assert path.read_text() == "x"


@pytest.mark.posix
def test_what_a_killed_run_leaves_behind_is_removed_by_the_next(tmp_path):
    program = (
        "import os, signal, sys; from pathlib import Path;"
        "from distill_prior_gen.atomic import atomic_write\n"
        "with atomic_write(Path(sys.argv[1])) as partial:\n"
        "    partial.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    path = tmp_path / "x.txt"
    run = subprocess.run([sys.executable, "-c", program, path])
    assert run.returncode == -signal.SIGKILL
    assert not path.exists()
    (left,) = os.listdir(tmp_path)
    assert left.startswith(".")
    with atomic_write(path) as partial:
        partial.write_text("whole")
    assert os.listdir(tmp_path) == ["x.txt"]


@pytest.mark.posix
@pytest.mark.slow
def test_a_full_disk_is_told_in_words_with_the_name_that_was_given(tmp_path, model_path):
    # The largest file that may be written stands in for the size of the disk.
    program = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000));"
        "from distill_prior_gen.cli import cli; cli()"
    )
    words = ["sample", str(model_path), "-o", "take.wav", *FAST]
    run = subprocess.run(
        [sys.executable, "-c", program, *words], cwd=tmp_path, capture_output=True, text=True
    )
    assert run.returncode == 1
    assert run.stderr == "Error: take.wav: the file would be larger than is allowed\n"
    assert os.listdir(tmp_path) == []


@pytest.mark.posix
@pytest.mark.slow
@pytest.mark.parametrize("moment", range(1, 5))
def test_no_kill_leaves_an_old_sound_beside_a_new_sidecar(tmp_path, model_path, moment):
    program = (
        "import os, signal, sys; from distill_prior_gen import *\n"
        "from distill_prior_gen.export.files import write_take\n"
        "from distill_prior_gen.formats import ExportConfig\n"
        "from pathlib import Path\n"
        "moment, calls = int(sys.argv[2]), []\n"
        "model = load_model(sys.argv[1], 'cpu')\n"
        "def write(seed):\n"
        "    take = generate(model, GenerationConfig(duration=1, seed=seed, quality='fast'))\n"
        "    write_take(take, model.identity, Path('t.wav'), ExportConfig(), overwrite=True)\n"
        "write(1)\n"
        "def hook(event, arguments):\n"
        "    if event in ('os.rename', 'os.link', 'os.chmod'):\n"
        "        calls.append(event)\n"
        "        if len(calls) == moment: os.kill(os.getpid(), signal.SIGKILL)\n"
        "sys.addaudithook(hook)\n"
        "write(2)\n"
    )
    subprocess.run([sys.executable, "-c", program, model_path, str(moment)], cwd=tmp_path)
    seed = json.loads((tmp_path / "t.wav.json").read_text())["seed"]
    title = soundfile.SoundFile(tmp_path / "t.wav").title
    assert seed == 1 or title.endswith(" 2")


@pytest.mark.slow
def test_two_runs_that_choose_a_name_at_once_both_keep_their_takes(tmp_path, model_path):
    command = [sys.executable, "-m", "distill_prior_gen", "sample", str(model_path), "-s", "5"]
    runs = [
        subprocess.Popen([*command, *FAST], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    printed = sorted(run.communicate()[0].strip() for run in runs)
    assert printed == ["small-5-2.wav", "small-5.wav"]
    assert len(list(tmp_path.glob("*.wav.json"))) == 2


def test_each_audio_file_has_a_sidecar_and_can_be_replayed(run, model_path, tmp_path):
    assert run("sample", model_path, "-o", "take.wav", "-s", 1, *FAST).exit_code == 0
    result = run("replay", "take.wav.json", "-o", "take.flac")
    assert result.exit_code == 0, result.output
    assert {"take.wav.json", "take.flac.json"} <= set(os.listdir(tmp_path))
    difference = soundfile.read("take.wav")[0] - soundfile.read("take.flac")[0]
    assert np.abs(difference).max() < 2**-22  # both have 24 bits, and round in their own way


def test_force_replaces_no_file_that_is_not_a_sidecar(run, model_path, tmp_path):
    (tmp_path / "take.wav.json").write_text('{"my": "notes"}')
    result = run("sample", model_path, "-o", "take.wav", "--force", *FAST)
    assert result.exit_code == 1
    assert "take.wav.json exists and does not describe a take" in result.stderr
    assert (tmp_path / "take.wav.json").read_text() == '{"my": "notes"}'


def test_a_take_keeps_its_prompt(run, model_path, tmp_path):
    (tmp_path / "upload").mkdir()
    prompt = tmp_path / "upload" / "knock.wav"
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 4000)
    soundfile.write(prompt, noise, 8000)
    assert run("sample", model_path, "--prompt", prompt, "-o", "a.wav", *FAST).exit_code == 0
    prompt.unlink()
    result = run("replay", "a.wav.json", "-o", "b.wav")
    assert result.exit_code == 0, result.output
    assert np.array_equal(soundfile.read("a.wav")[0], soundfile.read("b.wav")[0])


@pytest.mark.posix
def test_relative_paths_hold_where_the_folder_is_a_link(run, model_path, tmp_path):
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "takes").symlink_to(tmp_path / "far" / "away")
    assert run("sample", model_path, "-o", "takes/a.wav", *FAST).exit_code == 0
    for sidecar in ("takes/a.wav.json", "far/away/a.wav.json"):
        result = run("replay", sidecar, "-o", "b.wav", "--force")
        assert result.exit_code == 0, result.output


@pytest.mark.parametrize("rate", [44_100, 96_000])
def test_a_loop_at_another_rate_is_the_same_circle(tmp_path, model, rate):
    config = GenerationConfig(duration=1.5, loop=True, seed=2, quality="fast")
    take, path = generate(model, config), tmp_path / "loop.wav"
    write_take(take, model.identity, path, ExportConfig("wav", rate, 32))
    resampled, _ = soundfile.read(path)
    # Turned half round before it is resampled, a circle is the same.
    half = len(take.audio) // 2
    object.__setattr__(take, "audio", np.roll(take.audio, half))
    write_take(take, model.identity, tmp_path / "turned.wav", ExportConfig("wav", rate, 32))
    turned, _ = soundfile.read(tmp_path / "turned.wav")
    assert len(turned) == round(1.5 * rate)
    assert np.abs(np.roll(resampled, half * rate // model.sample_rate) - turned).max() < 1e-5


@pytest.mark.parametrize("form", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("title", ["Été à Zürich", "夜の雨", "Дождь", "🎵 مطر"])
def test_titles_in_any_language_can_be_read(tmp_path, take, model, form, title):
    path = tmp_path / f"take.{form}"
    write_take(take, model.identity, path, ExportConfig(form), {"title": title, "artist": title})
    with soundfile.SoundFile(path) as file:
        assert file.title == title
        assert file.artist == title
        assert file.frames >= len(take.audio)


def test_names_keep_letters_of_any_script(run, tmp_path, model_path):
    from tests.helpers.models import write_model

    write_model(tmp_path / "model.distill", name="夜の雨 / Été")
    result = run("sample", "model.distill", "-s", 1, *FAST)
    assert result.stdout == "夜の雨_Été-1.wav\n"


@pytest.mark.parametrize("folder", ["takes.v2/", "takes.v2", "v1.0"])
def test_a_new_folder_may_have_a_dot_in_its_name(run, model_path, tmp_path, folder):
    result = run("sample", model_path, "-o", folder, "-s", 1, *FAST)
    assert result.exit_code == 0, result.output
    assert (tmp_path / folder / "small-1.wav").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-o", "-"], "-o"),
        (["-d", "31"], "--allow-long"),
        (["-o", "there/take.wav"], "there: part of the path is a file|there"),
        (["-o", "take.doc"], "must end in one of"),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_work(run, tmp_path, words, said):
    (tmp_path / "there").write_text("a file")
    # The model is not there: whoever got so far would say that.
    result = run("sample", "no.distill", *words)
    assert result.exit_code in (1, 2)
    assert any(part in result.stderr for part in said.split("|"))
    assert "no.distill" not in result.stderr
    assert os.listdir(tmp_path) == ["there"]


@pytest.mark.slow
@pytest.mark.parametrize("as_json", [False, True])
def test_what_was_finished_is_printed_when_a_later_take_fails(run, model_path, tmp_path, as_json):
    words = ["-n", 3, "-o", "t.wav", "-s", 1, *FAST]
    # Appears after the check and before the second take is written.
    program = (
        "import sys, threading, time, os\n"
        "def block():\n"
        "    while not os.path.exists('t-1.wav'): time.sleep(0.002)\n"
        "    open('t-2.wav', 'w').close(); open('t-3.wav', 'w').close()\n"
        "threading.Thread(target=block, daemon=True).start()\n"
        "from distill_prior_gen.cli import cli; cli()"
    )
    command = [sys.executable, "-c", program, "sample", model_path, *words]
    command += ["--json"] if as_json else []
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert result.returncode == 1
    assert "exists" in result.stderr
    printed = [take["path"] for take in json.loads(result.stdout)] if as_json else None
    assert (printed or result.stdout.split())[0] == "t-1.wav"


ZOO = [
    None,
    True,
    0,
    -1,
    1e400,
    10**400,
    "",
    "x" * 9,
    "\x1b[2J\ud800",
    [],
    {},
    [[1]],
    {"a": 1},
    0.5,
]


def test_damaged_sidecars_are_refused_in_one_line(run, model_path, tmp_path):
    run("sample", model_path, "-o", "take.wav", "-s", 1, *FAST)
    text = (tmp_path / "take.wav.json").read_text()
    generator = random.Random(0)
    damaged = ["[" * 100_000, "", "null", "[]", '{"a":' * 20_000, text[: len(text) // 2], "NaN"]
    for _ in range(100):
        sidecar = json.loads(text)
        sidecar["model"]["path"] = "gone.distill"
        table = generator.choice([sidecar, sidecar["model"], sidecar["config"], sidecar["tags"]])
        table[generator.choice([*table, "new"])] = generator.choice(ZOO)
        damaged.append(json.dumps(sidecar))
    for content in damaged:
        (tmp_path / "bad.json").write_text(content, errors="surrogatepass")
        result = run("replay", "bad.json", "-o", "b.wav")
        assert isinstance(result.exception, SystemExit), content
        assert result.exit_code in (1, 2), content
        error = result.stderr.strip().splitlines()[-1]
        assert error.startswith("Error: "), content
        assert len(error) > 12, content
        assert error.isprintable(), content
    assert not (tmp_path / "b.wav").exists()


@pytest.mark.posix
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_a_sidecar_that_is_no_file_is_refused_at_once(run, tmp_path, kind):
    path = tmp_path / "take.json"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    result = run("replay", path)
    assert result.exit_code == 1
    assert "take.json" in result.stderr
