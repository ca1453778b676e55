"""The folder in which takes are saved."""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from distill_prior_gen import GenerationConfig, generate, open_take
from distill_prior_gen.config import Region
from distill_prior_gen.editing.takes import redraw
from distill_prior_gen.store.room import scan_takes
from distill_prior_gen.store.takes import REMOVED, STARRED, TakeStore

PICTURE = b"\x89PNG"
ME, YOU = "0" * 32, "f" * 32


@pytest.fixture(scope="module")
def result(model):
    return generate(model, GenerationConfig(duration=1, seed=7, quality="fast"))


@pytest.fixture
def store(tmp_path):
    return TakeStore(tmp_path / "takes")


def save(part, model, result, count=1):
    for _ in range(count):
        part.save(part.next_number(), result, model.identity, PICTURE)


def test_a_saved_take_is_described_played_and_made_again(store, model, result):
    part = store.part()
    path = part.save(part.next_number(), result, model.identity, PICTURE)
    (take,) = part.takes()
    assert (take.number, take.path, take.config) == (1, path, result.config)
    assert (take.duration, take.model_name, take.origin) == (1.0, "small", "")
    rate, samples = take.read_sound()
    assert rate == 8000
    assert np.abs(samples / 32768 - result.audio).max() < 2 / 32768
    assert soundfile.info(path).subtype == "PCM_24"
    assert part.picture(1) == PICTURE
    assert np.array_equal(open_take(model, take.sidecar).audio, result.audio)


def test_an_edited_take_is_made_again(store, model, result):
    region = Region(0.2, 0.8, None, (0,))
    edited = redraw(model, result, (region,), GenerationConfig(seed=3))
    part = store.part()
    save(part, model, edited)
    (take,) = part.takes()
    assert take.origin == "edited (redraw)"
    assert np.array_equal(open_take(model, take.sidecar).audio, edited.audio)


def test_numbers_go_on_after_a_restart_and_takes_are_listed_newest_first(store, model, result):
    save(store.part(), model, result, 2)
    again = TakeStore(store.folder).part()
    save(again, model, result)
    assert [take.number for take in again.takes()] == [3, 2, 1]


def test_two_servers_do_not_overwrite_each_others_takes(store, model, result):
    first, second = store.part(), TakeStore(store.folder).part()
    numbers = [first.next_number(), second.next_number()]
    assert numbers == [1, 1]
    other = replace(result, config=replace(result.config, seed=8))
    first.save(1, result, model.identity, PICTURE)
    second.save(1, other, model.identity, PICTURE)
    assert [take.config.seed for take in first.takes()] == [8, 7]


def test_the_oldest_takes_go_and_starred_ones_stay(store, model, result):
    part = store.part()
    save(part, model, result, 6)
    for number in range(1, 7):
        os.utime(part.path(number), (number, number))
        os.utime(f"{part.path(number)}.json", (number, number))
    part.mark(2, STARRED, True)
    size = scan_takes(part.folder)[6].size
    store.max_bytes = round(2.5 * size)
    store.make_room()
    assert list(part.listed()) == [6, 5, 2]
    assert [path.name for path in sorted(part.folder.iterdir())] == sorted(
        [f"take-{n}.{end}" for n in (2, 5, 6) for end in ("flac", "flac.json", "png")]
        + ["take-2.starred"]
    )
    store.max_bytes = 1
    store.make_room()
    assert list(part.listed()) == [6, 2]  # the newest stays, too


def test_the_limit_holds_while_takes_are_saved(store, model, result):
    save(store.part(ME), model, result)
    store.max_bytes = 3 * scan_takes(store.part(ME).folder)[1].size + 100
    for _ in range(10):
        save(store.part(ME), model, result)
        files = [path for path in store.folder.rglob("*") if path.is_file()]
        assert sum(path.stat().st_size for path in files) <= store.max_bytes
    assert list(store.part(ME).listed()) == [11, 10, 9]


def test_prompts_go_with_the_last_take_that_needs_them(store, model, tmp_path):
    takes = []
    for name, pitch in (("a", 0.2), ("b", 0.3)):
        soundfile.write(tmp_path / f"{name}.wav", np.sin(pitch * np.arange(9000)) / 3, 8000)
    for name, seed in (("a", 1), ("a", 2), ("b", 3)):
        config = GenerationConfig(
            duration=1, seed=seed, quality="fast", prompt=str(tmp_path / f"{name}.wav")
        )
        takes.append(generate(model, config))
    part = store.part()
    for take in takes:
        save(part, model, take)
    (part.folder / "prompts" / "my own.wav").write_bytes(b"mine")
    for number in (1, 2, 3):
        for end in ("flac", "flac.json", "png"):
            os.utime(part.path(number).with_suffix(f".{end}"), (number, number))
    prompts = {path.name[0]: path for path in (part.folder / "prompts").iterdir()}
    part.mark(3, STARRED, True)
    save(part, model, takes[1])
    store.max_bytes = 1
    store.make_room()
    assert list(part.listed()) == [4, 3]
    assert all(path.exists() for path in prompts.values())
    part.mark(4, REMOVED, True)
    os.utime(part.path(4).with_suffix(".removed"), (1, 1))
    store.make_room()
    assert list(part.listed()) == [3]
    assert not prompts["a"].exists()
    assert prompts["b"].exists()
    assert prompts["m"].exists()
    (take,) = part.takes()
    assert take.config.prompt == str(prompts["b"])


def test_removed_takes_can_be_brought_back_for_a_day(store, model, result):
    part = store.part()
    save(part, model, result, 2)
    part.mark(1, REMOVED, True)
    save(part, model, result)
    assert list(part.listed()) == [3, 2]
    part.mark(1, REMOVED, False)
    assert list(part.listed()) == [3, 2, 1]
    part.mark(1, REMOVED, True)
    yesterday = time.time() - 86_500
    os.utime(part.path(1).with_suffix(".removed"), (yesterday, yesterday))
    save(part, model, result)
    assert not list(part.folder.glob("take-1.*"))


def test_browsers_are_kept_apart(store, model, result):
    save(store.part(ME), model, result)
    assert list(store.part(ME).listed()) == [1]
    assert not store.part(YOU).listed()
    assert not store.part().listed()
    assert ME not in "".join(map(str, store.folder.rglob("*")))  # else a listing would tell it
    assert [part.name for part in TakeStore(store.folder).all_parts()] == ["", store.part(ME).name]


@pytest.mark.parametrize(
    "browser", ["", "x", "../" * 11, "0" * 31, "0" * 33, "0" * 32 + "\n", "G" * 32, "/" * 32]
)
def test_what_is_no_identifier_is_refused(store, browser):
    with pytest.raises(ValueError, match="32 hexadecimal digits"):
        store.part(browser)
    assert not store.folder.exists()


def test_stars_of_other_machines_do_not_fill_the_disk(store, model, result):
    for browser in (ME, YOU):
        save(store.part(browser), model, result, 2)
    save(store.part(), model, result, 2)
    store.max_bytes = round(2.5 * scan_takes(store.part(ME).folder)[1].size)
    store.part(ME).mark(1, STARRED, True)
    store.part(YOU).mark(1, STARRED, True)
    with pytest.raises(ValueError, match="no room for more starred takes"):
        store.part(YOU).mark(2, STARRED, True)
    store.part().mark(1, STARRED, True)
    store.part().mark(2, STARRED, True)


def test_damaged_takes_and_other_files_are_left_alone(store, model, result):
    part = store.part()
    save(part, model, result, 3)
    Path(f"{part.path(2)}.json").write_text("{}")
    (part.folder / "take-9.txt").write_text("mine")
    (part.folder / "take-0.flac").write_text("mine")
    os.symlink(part.path(1), part.folder / "take-8.flac")
    assert [take.number for take in part.takes()] == [3, 1]
    store.max_bytes = 1
    store.make_room()
    assert {"take-9.txt", "take-0.flac", "take-8.flac"} <= set(os.listdir(part.folder))


KILLED = """
import os, sys, threading
from distill_prior_gen import GenerationConfig, generate, load_model
from distill_prior_gen.store.takes import TakeStore
from pathlib import Path
model = load_model(sys.argv[1], "cpu")
part = TakeStore(Path(sys.argv[2])).part()
result = generate(model, GenerationConfig(duration=1, seed=7, quality="fast"))
print("ready", flush=True)
while True:
    number = part.next_number()
    part.save(number, result, model.identity, b"x")
    print(number, flush=True)
"""


@pytest.mark.slow
@pytest.mark.posix
def test_what_was_saved_survives_a_kill(tmp_path, model, model_path):
    command = [sys.executable, "-c", KILLED, str(model_path), str(tmp_path / "takes")]
    for _ in range(3):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        lines = [process.stdout.readline() for _ in range(4)]
        process.kill()
        lines += process.stdout.readlines()
        process.wait()
        saved = [int(line) for line in lines[1:]]
        part = TakeStore(tmp_path / "takes").part()
        listed = part.listed()
        assert set(saved) <= set(listed)
        for number in listed:
            assert open_take(model, part.read(number).sidecar).seed == 7
            assert soundfile.info(part.path(number)).frames == 8000
        shutil.rmtree(part.folder)
