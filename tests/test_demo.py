"""The model that comes with the package."""

import json
import re
from pathlib import Path

import pytest
import soundfile
import torch
from click.testing import CliRunner

from distill_prior_gen import load_model
from distill_prior_gen.cli import cli
from distill_prior_gen.demo import demo_model
from distill_prior_gen.evaluation import benchmark

DOCS = Path(__file__).resolve().parents[1] / "docs"


def test_the_demo_model_is_small_and_its_weights_are_widened():
    assert demo_model().stat().st_size <= 8_000_000
    stored = torch.load(demo_model(), weights_only=True)["prior_state_dict"]
    assert stored["head.weight"].dtype == torch.float16
    model = load_model(demo_model(), "cpu")
    assert model.prior.head.weight.equal(stored["head.weight"].float())
    assert {p.dtype for p in (*model.prior.parameters(), *model.vqvae.parameters())} == {
        torch.float32
    }


@pytest.mark.slow
def test_sample_without_a_model_plays_the_demo_and_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, ["sample", "-d", "2", "-s", "1"])
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "Demo-1.wav\n"
    assert "the demo model" in result.stderr
    audio, rate = soundfile.read("Demo-1.wav")
    assert (rate, len(audio)) == (48_000, 96_000)
    assert abs(audio).max() > 0.05
    quiet = CliRunner().invoke(cli, ["sample", "-d", "1", "-s", "2", "-q"])
    assert quiet.stderr == ""


@pytest.mark.slow
def test_benchmark_takes_the_demo_model_by_default(monkeypatch):
    monkeypatch.setattr(benchmark, "NUM_RUNS", 1)
    result = CliRunner().invoke(cli, ["benchmark", "-d", "1"])
    assert result.exit_code == 0, result.stderr
    assert "the demo model" in result.stderr


@pytest.mark.slow
def test_benchmark_takes_random_weights(monkeypatch):
    monkeypatch.setattr(benchmark, "NUM_RUNS", 1)
    timed = []
    time_plain = benchmark.time_plain

    def record(model, *arguments):
        timed.append(model)
        return time_plain(model, *arguments)

    monkeypatch.setattr(benchmark, "time_plain", record)
    result = CliRunner().invoke(cli, ["benchmark", "--random", "-d", "1", "--json"])
    assert result.exit_code == 0, result.stderr
    assert [row["stage"] for row in json.loads(result.stdout)][-1] == "whole"
    assert "the demo model" not in result.stderr
    (model,) = timed
    assert (model.codebook_size, model.num_quantizers) == (128, 3)
    assert len(model.prior.transformer) == 4
    assert CliRunner().invoke(cli, ["benchmark", "model.distill", "--random"]).exit_code == 2


def test_the_docs_name_every_recording_with_its_author():
    source = (DOCS / "build_demo.py").read_text()
    recordings = re.findall(r'^    "(\w+)",$', source, re.MULTILINE)
    page = (DOCS / "demo-model.md").read_text()
    table = re.findall(r"^\| `(\w+)` \| [^|]+ \| \[\d+\]\(https:", page, re.MULTILINE)
    assert recordings
    assert table == recordings


def test_the_demo_can_be_described():
    result = CliRunner().invoke(cli, ["info", str(demo_model()), "--json"])
    description = json.loads(result.stdout)
    assert description["name"] == "Demo"
    assert description["playable"]
