"""What of a folder is held out, and what counts as the same sound."""

from collections import Counter

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distill_prior_gen.training.copies import Copy, group_copies
from distill_prior_gen.training.data import Dataset, read_dataset
from distill_prior_gen.training.recording import Recording
from distill_prior_gen.training.split import hold_out
from tests.helpers.models import SMALL


def pluck(seed: int, seconds: float = 1.5, rate: int = 44_100) -> np.ndarray:
    """A tone of a pitch and a timbre of its own that dies away, over a little noise."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    pitch = 80 * 1.13 ** (seed % 24)
    partials = [
        np.sin(2 * np.pi * pitch * k * time + random.uniform(0, 6)) / k for k in range(1, 6)
    ]
    sound = sum(partials) * np.exp(-1.2 * time) + random.normal(0, 0.01, len(time))
    return 0.5 * sound / np.abs(sound).max()


def names(recordings) -> set[str]:
    return {recording.name for recording in recordings}


def test_copies_of_a_sound_are_found_whatever_was_done_to_the_file(tmp_path):
    sound = pluck(3)
    soundfile.write(tmp_path / "a.wav", sound, 44_100)
    soundfile.write(tmp_path / "b.ogg", 0.3 * sound, 44_100)
    soundfile.write(tmp_path / "c.mp3", np.concatenate([np.zeros(13_000), sound]), 44_100)
    soundfile.write(tmp_path / "d.flac", -sound[::2], 22_050)
    for seed in range(4, 12):
        soundfile.write(tmp_path / f"other{seed}.wav", pluck(seed), 44_100)
    dataset = read_dataset(tmp_path, SMALL)
    assert dataset.copies == [["a.wav", "b.ogg", "c.mp3", "d.flac"]]
    assert not names(dataset.training) & names(dataset.validation) or all(
        len({r.name for r in side} & set(dataset.copies[0])) == 4
        for side in (dataset.training, dataset.validation)
    )


def test_the_same_stem_in_several_formats_stays_on_one_side(tmp_path):
    for seed in range(6):
        for suffix in ("wav", "flac", "ogg"):
            soundfile.write(tmp_path / f"take{seed}.{suffix}", pluck(seed), 44_100)
    dataset = read_dataset(tmp_path, SMALL)
    assert sorted(map(sorted, dataset.copies)) == [
        [f"take{seed}.{suffix}" for suffix in ("flac", "ogg", "wav")] for seed in range(6)
    ]
    stems = [
        {name.partition(".")[0] for name in names(side)}
        for side in (dataset.training, dataset.validation)
    ]
    assert stems[1]
    assert not stems[0] & stems[1]


@pytest.mark.parametrize("click", [False, True])
def test_noises_and_clicks_are_not_taken_for_copies(click):
    generator = torch.Generator().manual_seed(0)
    recordings = []
    for index in range(6):
        noise = 0.01 * torch.randn(8000, generator=generator)
        if click:
            noise[1000:1010] = 1
        recordings.append(Recording(f"{index}.wav", noise))
    assert [len(group) for group in group_copies(recordings, 8000)] == [1] * 6


def test_a_file_that_dominates_gives_a_part_of_itself(tmp_path):
    long = np.concatenate([pluck(seed, 1.0, 8000) for seed in range(30)])
    soundfile.write(tmp_path / "session.wav", long, 8000)
    for seed in range(4):
        soundfile.write(tmp_path / f"short{seed}.wav", pluck(seed + 40, 0.4, 8000), 8000)
    dataset = read_dataset(tmp_path, SMALL)
    held = dataset.duration(dataset.validation) / dataset.seconds
    assert 0.15 < held < 0.25
    (part,) = [r for r in dataset.validation if r.name == "session.wav"]
    others = [r for r in dataset.training if r.name == "session.wav"]
    for other in others:
        assert other.start + len(other.samples) <= part.start or (
            part.start + len(part.samples) <= other.start
        )
    assert dataset.seconds == pytest.approx(31.6, abs=0.01)


def test_copies_of_one_sound_are_all_cut_at_the_same_place():
    sound = torch.from_numpy(pluck(1, 2.0, 8000)).float()
    late = torch.cat([torch.zeros(800), sound])
    groups = group_copies([Recording("a", sound), Recording("b", late)], 8000)
    training, held_out = hold_out(groups)
    assert names(training) == names(held_out) == {"a", "b"}
    starts = {recording.name: recording.start for recording in held_out}
    assert starts["b"] - starts["a"] == 800


def test_a_single_click_everywhere_cannot_be_divided():
    click = torch.zeros(8000)
    click[4000] = 1
    with pytest.raises(ValueError, match="all the same sound, too short"):
        hold_out([[Copy(Recording(str(index), click)) for index in range(5)]])


@settings(max_examples=30)
@given(st.lists(st.integers(40, 4000), min_size=5, max_size=40), st.data())
def test_about_a_fifth_and_never_more_than_a_third_is_held_out(lengths, data):
    recordings = [Recording(f"{i}.wav", torch.ones(length)) for i, length in enumerate(lengths)]
    training, held_out = hold_out([[Copy(recording)] for recording in recordings])
    share = sum(len(r.samples) for r in held_out) / sum(lengths)
    assert 0.1 < share < 1 / 3
    kept: Counter[str] = Counter()
    for recording in (*training, *held_out):
        kept[recording.name] += len(recording.samples)
    assert kept == {r.name: len(r.samples) for r in recordings}
    shuffled = data.draw(st.permutations(recordings))
    again = hold_out([[Copy(recording)] for recording in shuffled])[1]
    assert [(r.name, r.start) for r in again] == [(r.name, r.start) for r in held_out]


@pytest.mark.parametrize("click_at", [0, 3900, 20_000])
def test_a_loud_click_does_not_turn_a_quiet_recording_into_silence(click_at):
    quiet = 0.002 * torch.randn(40_000, generator=torch.Generator().manual_seed(1))
    quiet[click_at : click_at + 200] = 1.0
    dataset = Dataset([], [], SMALL, 0.5)
    assert len(dataset.cut([Recording("quiet", quiet)])) == 10


def test_silence_between_sounds_is_left_out():
    sound = torch.cat([torch.ones(8000), 0.001 * torch.ones(24_000), torch.ones(8000)])
    assert len(Dataset([], [], SMALL, 0.5).cut([Recording("sparse", sound)])) == 4


def test_more_than_500_files_are_refused_before_they_are_read(tmp_path):
    for index in range(501):
        (tmp_path / f"{index}.wav").write_bytes(b"no sound")
    with pytest.raises(ValueError, match=r"has 501 recordings; training takes 5 to 500$"):
        read_dataset(tmp_path, SMALL)
