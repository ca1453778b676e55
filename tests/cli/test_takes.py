"""``distill-prior takes``: listing, searching, starring and opening what the tab has saved."""

import json
import re
from pathlib import Path

import pytest

from distill_prior_gen import GenerationConfig, generate
from distill_prior_gen.store.takes import TakeStore


@pytest.fixture
def saved(run, model):
    """A store with three takes of this machine and one of a browser elsewhere."""
    store = TakeStore(Path("data/generated/takes"))
    parts = [store.part(), store.part(), store.part(), store.part("a" * 32)]
    for part, seed in zip(parts, (5, 50, 500, 5000), strict=True):
        config = GenerationConfig(duration=1, seed=seed, loop=seed == 50, quality="fast")
        part.save(part.next_number(), generate(model, config), model.identity, b"")
    return run


def listed(run, *words):
    result = run("takes", "list", *words, "--json")
    assert result.exit_code == 0, result.output
    return [take["seed"] for take in json.loads(result.stdout)]


def test_takes_are_listed_newest_first_and_searched(saved):
    assert listed(saved) == [500, 50, 5, 5000]
    assert listed(saved, "seed", 5) == [5]
    assert listed(saved, "seed 5") == [5]
    assert listed(saved, "loop") == [50]
    assert listed(saved, "flute") == []
    lines = saved("takes", "list").stdout.splitlines()
    pattern = r" +3   \d{4}-\d\d-\d\d \d\d:\d\d  seed 500, small, 1 s, temperature 1, .*"
    assert re.fullmatch(pattern, lines[0])
    assert re.match(r"[0-9a-f]{8}/1 ", lines[3])


def test_takes_are_starred_and_opened(saved):
    assert saved("takes", "star", "1", "2").exit_code == 0
    assert listed(saved, "starred") == [50, 5]
    assert re.match(" +2 [*] ", saved("takes", "list", "loop").stdout)
    assert saved("takes", "unstar", "1").exit_code == 0
    assert listed(saved, "starred") == [50]
    opened = saved("takes", "open", "2")
    path = Path(opened.stdout.strip())
    assert path.samefile("data/generated/takes/take-2.flac")
    assert saved("replay", f"{path}.json", "-o", "again.wav").exit_code == 0
    described = json.loads(saved("takes", "open", "2", "--json").stdout)
    assert (described["name"], described["seed"], described["starred"]) == ("2", 50, True)
    assert described["config"]["loop"] is True


def test_a_take_of_another_machine_is_found_by_its_name(saved):
    name = saved("takes", "list", "seed", 5000).stdout.split()[0]
    assert saved("takes", "star", name).exit_code == 0
    path = Path(saved("takes", "open", name).stdout.strip())
    assert path.with_suffix(".starred").exists()


@pytest.mark.parametrize("name", ["9", "x", "", "../1", "/1", "browsers/1", "-1", "1/"])
def test_a_name_that_is_none_is_refused(saved, name):
    result = saved("takes", "open", "--", name)
    assert result.exit_code == 1
    assert f"there is no take {name} in " in result.stderr
    assert "'distill-prior takes list' lists them" in result.stderr
    assert saved("takes", "star", "1", "--", name).exit_code == 1
    assert listed(saved, "starred") == []


def test_the_output_folder_is_that_of_the_tab(run, tmp_path, model, monkeypatch):
    part = TakeStore(tmp_path / "mine" / "takes").part()
    result = generate(model, GenerationConfig(duration=1, seed=7, quality="fast"))
    part.save(1, result, model.identity, b"")
    assert listed(run) == []
    assert "No takes in" in run("takes", "list").stderr
    assert json.loads(run("takes", "--output", "mine", "list", "--json").stdout)[0]["seed"] == 7
    monkeypatch.setenv("DISTILL_PRIOR_UI_OUTPUT", "mine")
    assert listed(run) == [7]
    monkeypatch.delenv("DISTILL_PRIOR_UI_OUTPUT")
    Path("config.toml").write_text('[ui]\noutput = "mine"')
    monkeypatch.setenv("DISTILL_PRIOR_CONFIG", "config.toml")
    assert listed(run) == [7]


def test_a_damaged_take_is_named_and_the_others_are_listed(saved):
    Path("data/generated/takes/take-2.flac.json").write_text("{")
    assert listed(saved) == [500, 5, 5000]
    assert "take-2.flac.json does not describe a take" in saved("takes", "list").stderr
    assert "does not describe a take" in saved("takes", "open", "2").stderr
