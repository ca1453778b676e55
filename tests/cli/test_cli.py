import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import click
import pytest
import soundfile
import torch
from click.testing import CliRunner

from distill_prior_gen import GenerationConfig
from distill_prior_gen.cli import cli
from distill_prior_gen.config import GENERATION_LIMITS
from distill_prior_gen.evaluation import benchmark as benchmark_module
from distill_prior_gen.evaluation.benchmark import PlainPrior
from tests.helpers.models import write_model


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_sample_writes_a_take_and_prints_its_path(run, model_path, tmp_path):
    result = run("sample", model_path, "-o", "take.wav", "-d", 2, "-s", 1)
    assert result.exit_code == 0, result.output
    assert result.stdout == "take.wav\n"
    assert result.stderr == ""
    assert files(tmp_path) == ["take.wav", "take.wav.json"]
    assert soundfile.info("take.wav").frames == 16_000


def test_sample_names_takes_in_a_folder_after_model_and_seed(run, model_path, tmp_path):
    result = run("sample", model_path, "-o", "takes", "-n", 2, "-d", 1, "-s", 1, "-f", "flac")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == ["takes/small-1.flac", "takes/small-2.flac"]
    assert files(tmp_path / "takes") == [
        "small-1.flac",
        "small-1.flac.json",
        "small-2.flac",
        "small-2.flac.json",
    ]
    run("sample", model_path, "-o", "takes", "-d", 1, "-s", 1, "-f", "flac")
    assert "small-1-2.flac" in files(tmp_path / "takes")


def test_sample_numbers_the_takes_of_one_file(run, model_path, tmp_path):
    run("sample", model_path, "-o", "take.ogg", "-n", 2, "-d", 1)
    assert files(tmp_path) == ["take-1.ogg", "take-1.ogg.json", "take-2.ogg", "take-2.ogg.json"]


def test_sample_describes_the_take_as_json(run, model_path):
    options = [
        "-d",
        "1.5",
        "-t",
        "0.7",
        "--top-k",
        "4",
        "--top-p",
        "0.8",
        "--overlap",
        "20",
        "--join",
        "crossfade",
        "-s",
        "9",
        "--sample-rate",
        "44100",
        "--bit-depth",
        "16",
    ]
    result = run("sample", model_path, "-o", "take.wav", "--json", *options)
    document = json.loads(result.stdout)
    assert document["path"] == "take.wav"
    assert (document["seed"], document["duration_s"]) == (9, 1.5)
    assert document["sample_rate"] == soundfile.info("take.wav").samplerate == 44_100
    assert soundfile.info("take.wav").subtype == "PCM_16"
    expected = GenerationConfig(
        duration=1.5, temperature=0.7, top_k=4, top_p=0.8, overlap=20, join="crossfade", seed=9
    )
    expected = replace(expected, sampler="continue", vocoder="mel-griffin-lim")
    assert GenerationConfig(**document["config"]) == expected
    assert {"load", "sample", "decode", "invert"} <= document["timings"].keys()


def test_sample_describes_several_takes_as_one_json_list(run, model_path):
    result = run("sample", model_path, "-o", "t.wav", "--json", "-d", 1, "-n", 3, "-s", 4)
    assert [take["seed"] for take in json.loads(result.stdout)] == [4, 5, 6]


def test_the_seed_that_was_drawn_makes_the_take_again(run, model_path):
    seed = json.loads(run("sample", model_path, "-o", "a.wav", "-d", 1, "--json").stdout)["seed"]
    run("sample", model_path, "-o", "b.wav", "-d", 1, "-s", seed)
    assert Path("a.wav").read_bytes() == Path("b.wav").read_bytes()


def test_progress_counts_chunks_on_standard_error(run, model_path):
    result = run("sample", model_path, "-o", "t.wav", "-d", 1.5, "-s", 1, "--progress")
    counted = re.findall(r"Generating chunk (\d+)/(\d+)\.\.\.", result.stderr)
    chunks = int(counted[0][1])
    assert [int(chunk) for chunk, _ in dict.fromkeys(counted)] == list(range(1, chunks + 1))
    assert "seed 1" in result.stderr
    assert result.stdout == "t.wav\n"
    quiet = run("sample", model_path, "-o", "q.wav", "-d", 1.5, "--progress", "-q")
    assert quiet.stderr == ""


def test_existing_files_are_kept_unless_forced(run, model_path):
    Path("take.wav").write_text("mine")
    result = run("sample", model_path, "-o", "take.wav", "-d", 1)
    assert result.exit_code == 1
    assert result.stderr == "Error: take.wav exists; choose another name or add --force\n"
    assert Path("take.wav").read_text() == "mine"
    assert run("sample", model_path, "-o", "take.wav", "-d", 1, "--force").exit_code == 0
    assert soundfile.info("take.wav").frames == 8_000


@pytest.mark.slow
def test_long_takes_have_to_be_allowed(run, model_path):
    refused = run("sample", model_path, "-o", "t.wav", "-d", 31)
    assert refused.exit_code == 2
    assert "duration must be a number from 1 to 30, not 31" in refused.stderr
    assert run("sample", model_path, "-o", "t.wav", "-d", 31, "--allow-long").exit_code == 0
    assert soundfile.info("t.wav").frames == 31 * 8_000


@pytest.mark.parametrize(
    "options",
    [
        ("-t", 0),
        ("-t", "nan"),
        ("--top-p", 1.1),
        ("--top-k", 513),
        ("--min-p", 1.5),
        ("--top-k", -1),
        ("-d", 0.5),
        ("--overlap", 201),
        ("-s", -1),
        ("-n", 0),
        ("--join", "glue"),
        ("-f", "aiff"),
        ("-o", "take.aiff"),
        ("-o", "take.wav", "-f", "mp3"),
        ("--sample-rate", 12345),
        ("-f", "flac", "--bit-depth", 32),
        ("--device", "abacus"),
        ("--sampler", "theremin"),
        ("--vocoder", "theremin"),
        ("--no-such-option",),
    ],
)
def test_wrong_usage_is_exit_code_2_and_writes_nothing(run, model_path, tmp_path, options):
    result = run("sample", model_path, *options)
    assert result.exit_code == 2
    assert result.stderr.startswith("Usage:")
    assert files(tmp_path) == []


def test_bad_models_are_exit_code_1_and_one_line(run, tmp_path):
    write_model(tmp_path / "none.distill", with_prior=False)
    (tmp_path / "text.distill").write_text("hello")
    for name, message in [
        ("none.distill", "has no prior"),
        ("text.distill", "not a .distill model"),
        ("missing.distill", "missing.distill: there is no such file"),
    ]:
        result = run("sample", name)
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: ")
        assert message in result.stderr
        assert result.stderr.count("\n") == 1
        assert result.stdout == ""
    assert "Traceback" in run("sample", "text.distill", "--debug").stderr


def test_info_shows_what_is_in_a_model(run, model_path):
    text = run("info", model_path).stdout
    for part in (
        "small",
        "noise",
        "8000 Hz",
        "16 codes x 2 levels",
        "16 hidden x 2 layers",
        "Perplexity  4.50",
        "Playable    yes",
    ):
        assert part in text
    document = json.loads(run("info", model_path, "--json").stdout)
    assert document["playable"] is True
    assert document["prior"]["perplexity"] == 4.5
    assert document["codebook"]["levels"] == 2


def test_info_says_why_a_model_is_not_playable(run, tmp_path):
    write_model(tmp_path / "none.distill", with_prior=False)
    result = run("info", "none.distill")
    assert result.exit_code == 0
    assert "Playable    no: none.distill has no prior" in result.stdout


def test_benchmark_compares_every_stage(run, model_path, monkeypatch):
    monkeypatch.setattr(benchmark_module, "NUM_RUNS", 1)
    rows = json.loads(run("benchmark", model_path, "-d", 1, "--json").stdout)
    assert [row["stage"] for row in rows] == ["sampling", "decoding", "inversion", "whole"]
    for way in ("plain", "here"):
        *stages, whole = [row[way] for row in rows]
        assert min(stages) > 0
        assert whole == pytest.approx(sum(stages))


def test_benchmark_compares_medians_of_the_runs(run, model_path, monkeypatch):
    here, plain = iter([9, 1, 2, 30, 3, 4]), iter([60, 6, 9, 12, 3])  # the first is for warming up

    def times(seconds):
        return {"sampling": seconds, "decoding": 2 * seconds, "inversion": 1}

    monkeypatch.setattr(benchmark_module, "time_package", lambda *_: times(next(here)))
    monkeypatch.setattr(benchmark_module, "time_plain", lambda *_: times(next(plain)))
    lines = run("benchmark", model_path, "-d", 1).stdout.splitlines()[1:]
    assert [line.split() for line in lines] == [
        ["1", "sampling", "9.00", "s", "3.00", "s", "3.0x"],
        ["1", "decoding", "18.00", "s", "6.00", "s", "3.0x"],
        ["1", "inversion", "1.00", "s", "1.00", "s", "1.0x"],
        ["1", "whole", "28.00", "s", "10.00", "s", "2.8x"],
    ]


def test_the_plain_prior_of_the_benchmark_computes_the_same_logits(model):
    generator = torch.Generator().manual_seed(0)
    shape = (3, model.prior.seq_len)
    tokens = torch.randint(model.codebook_size, shape, generator=generator)
    for length in (1, 5, model.prior.seq_len):
        plain = PlainPrior(model.prior)(tokens[:, :length])
        torch.testing.assert_close(plain, model.prior(tokens[:, :length]), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("command", cli.commands.values(), ids=cli.commands.keys())
def test_help_shows_every_option(command):
    text = CliRunner().invoke(cli, [command.name, "--help"]).stdout
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.opts[-1] in text
            assert parameter.help


def test_help_of_sample_shows_the_locked_ranges():
    text = CliRunner().invoke(cli, ["sample", "--help"]).stdout
    for field in ("temperature", "top_p", "top_k", "min_p", "overlap"):
        low, high = GENERATION_LIMITS[field]
        assert f"{low}<=x<={high}" in text


@pytest.mark.posix
@pytest.mark.slow
def test_ctrl_c_leaves_no_file_behind(model_path, tmp_path):
    arguments = ["sample", model_path, "-d", "600", "--allow-long", "-o", "t.wav", "--progress"]
    process = subprocess.Popen(
        [sys.executable, "-m", "distill_prior_gen", *arguments],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    seen = b""
    while b"Generating chunk" not in seen:
        part = os.read(process.stderr.fileno(), 4096)
        assert part, seen
        seen += part
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - start < 10
    assert stderr.decode().endswith("Interrupted.\n")
    assert stdout == b""
    assert files(tmp_path) == []
