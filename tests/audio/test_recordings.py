"""Sound files that come in: found, opened, decoded to the end, mixed and resampled."""

import io
import os
import signal
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from distill_prior_gen.audio.decoding import RecordingError, open_recording
from distill_prior_gen.audio.recordings import (
    AUDIO_SUFFIXES,
    find_recordings,
    read_last_sound,
    read_mono,
)
from distill_prior_gen.evaluation.benchmark import read_recordings
from distill_prior_gen.training.data import read_dataset
from tests.mutate_recordings import damaged, trouble, whole_recordings

RATE = 8000


def tone(seconds=1.0, rate=RATE, frequency=440.0):
    return 0.3 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def noise(seconds=1.0, seed=0, rate=RATE):
    return 0.1 * np.random.default_rng(seed).normal(size=round(seconds * rate))


def encoded(samples, rate=RATE, **options):
    """The bytes of a sound file."""
    file = io.BytesIO()
    options = {"format": "WAV", "subtype": "FLOAT"} | options
    soundfile.write(file, samples, rate, **options)
    return file.getvalue()


def last_sound(path, rate, count):
    with open_recording(path) as source:
        samples, peak = read_last_sound(source, rate, count)
    return samples.numpy(), peak


@pytest.fixture
def stored(tmp_path):
    def write(data, name="sound.wav"):
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return write


def with_number(data, place, value, width=4, order="little"):
    return data[:place] + value.to_bytes(width, order) + data[place + width :]


def wrong_lengths():
    """Sound files of 8000 frames whose headers say something else."""
    wav = encoded(tone(), subtype="PCM_16")
    place = wav.index(b"data") + 4
    for value in (0, 1000, 0x7FFF_FFFF, 0xFFFF_FFFF):
        yield f"wav {value}", with_number(wav, place, value)
    yield "wav in a pipe", with_number(with_number(wav, place, 0xFFFF_FFFF), 4, 0xFFFF_FFFF)
    rf64 = encoded(tone(), format="RF64", subtype="PCM_16")
    for value in (0, 1000):
        yield f"rf64 {value}", with_number(rf64, rf64.index(b"ds64") + 16, value, 8)
    aiff = encoded(tone(), format="AIFF", subtype="PCM_16")
    for value in (0, 1000, 0xFFFF_FFFF):
        yield f"aiff {value}", with_number(aiff, aiff.index(b"SSND") + 4, value, order="big")
    caf = encoded(tone(), format="CAF", subtype="PCM_16")
    for value in (0, 1000, 2**64 - 1):
        yield f"caf {value}", with_number(caf, caf.index(b"data") + 4, value, 8, "big")
    au = encoded(tone(), format="AU", subtype="PCM_16")
    for value in (0, 1000):
        yield f"au {value}", with_number(au, 8, value, order="big")
    flac = encoded(tone(), format="FLAC", subtype="PCM_16")
    for value in (0, 1000, 2**32 - 1):
        yield f"flac {value}", with_number(flac, 22, value, order="big")


@pytest.mark.parametrize(("name", "data"), [*wrong_lengths()], ids=lambda value: str(value)[:20])
def test_sound_is_read_to_its_end_whatever_its_header_says(stored, name, data):
    samples = read_mono(stored(data), RATE)
    assert samples.numpy() == pytest.approx(tone(), abs=2e-4)


def test_chunks_after_the_sound_are_no_sound(stored):
    wav = encoded(tone(), subtype="PCM_16")
    chunk = b"LIST" + (300).to_bytes(4, "little") + b"INFO" * 75
    empty = encoded(np.zeros(0), subtype="PCM_16")
    wrong = b"LIST" + (10**6).to_bytes(4, "little") + b"INFO" * 75
    for tail in (chunk, wrong, b"TAG" + bytes(125), bytes(512), b"\x01\x80" * 50):
        assert len(read_mono(stored(wav + tail), RATE)) == 8000
    with pytest.raises(RecordingError, match="is empty"):
        read_mono(stored(empty + chunk), RATE)


def mp3_that_grows_louder():
    """Six seconds whose first frame says little of the length, and no frame says it."""
    sound = np.concatenate([0.01 * tone(3, 44_100), noise(3, rate=44_100)])
    data = encoded(
        sound, 44_100, format="MP3", subtype="MPEG_LAYER_III", bitrate_mode="VARIABLE"
    )  # fmt: skip
    return data, data.replace(b"Xing", bytes(4), 1)


def test_an_mp3_is_read_to_its_end_where_its_length_is_a_guess(stored):
    known, unknown = mp3_that_grows_louder()
    assert unknown != known
    with soundfile.SoundFile(stored(unknown)) as file:
        assert file.frames < 4 * 44_100  # what a decoder guesses
    samples = read_mono(stored(unknown), 44_100)
    whole = read_mono(stored(known), 44_100)
    assert len(whole) == 6 * 44_100
    assert len(samples) >= len(whole)
    wav = b"RIFF" + bytes(4) + b"WAVEfmt " + (30).to_bytes(4, "little") + b"\x55\0" + bytes(28)
    within = read_mono(stored(wav + b"data" + bytes(4) + unknown), 44_100)
    assert within.equal(samples)
    # Put together, the length is that of the first; a part of a frame at the end is no error.
    assert len(read_mono(stored(known + known), 44_100)) >= 2 * len(whole)
    cut = read_mono(stored(unknown[: len(unknown) * 3 // 4 + 7]), 44_100)
    assert 4 * 44_100 < len(cut) < 6 * 44_100


@pytest.mark.parametrize("encoding", ["VORBIS", "OPUS"])
def test_ogg_files_that_were_put_together_are_read_to_the_last(stored, encoding):
    first, second = (
        encoded(sound, format="OGG", subtype=encoding) for sound in (tone(1.1), noise(0.6))
    )
    alone = [read_mono(stored(data), RATE).numpy() for data in (first, second)]
    together = read_mono(stored(first + second), RATE).numpy()
    assert together == pytest.approx(np.concatenate(alone), abs=1e-6)
    other = encoded(tone(1, 16_000), 16_000, format="OGG", subtype="VORBIS")
    if encoding == "VORBIS":
        with pytest.raises(RecordingError, match="its sample rate or its channels change"):
            read_mono(stored(first + other), RATE)


@pytest.mark.parametrize(
    ("format_name", "encoding"),
    [("WAV", "GSM610"), ("AU", "G721_32"), ("AIFF", "DWVW_16"), ("W64", "GSM610")],
)
def test_codecs_that_cannot_seek_are_read(stored, format_name, encoding):
    data = encoded(tone(), format=format_name, subtype=encoding)
    samples = read_mono(stored(data), RATE).numpy()[:8000]
    assert np.corrcoef(samples, tone()[: len(samples)])[0, 1] > 0.98


def test_a_file_that_was_cut_off_is_read_up_to_there(stored):
    for options in (
        {},
        {"format": "FLAC", "subtype": "PCM_16"},
        {"format": "OGG", "subtype": "OPUS"},
    ):
        data = encoded(noise(10), **options)
        samples = read_mono(stored(data[: len(data) // 2]), RATE)
        assert 30_000 < len(samples) < 45_000


def test_damage_amid_a_file_is_an_error(stored):
    data = bytearray(encoded(noise(10), format="FLAC", subtype="PCM_16"))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(RecordingError, match=r"sound\.wav cannot be read: "):
        read_mono(stored(bytes(data)), RATE)


def test_every_format_is_found_by_its_suffix_and_read(tmp_path):
    suffixes = {
        "wav": ("WAV", "PCM_24"), "wave": ("WAVEX", "PCM_16"), "bwf": ("WAV", "FLOAT"),
        "w64": ("W64", "PCM_16"), "rf64": ("RF64", "PCM_16"), "aif": ("AIFF", "PCM_16"),
        "aifc": ("AIFF", "FLOAT"), "caf": ("CAF", "ALAC_16"), "au": ("AU", "ULAW"),
        "flac": ("FLAC", "PCM_16"), "oga": ("OGG", "VORBIS"), "opus": ("OGG", "OPUS"),
        "mp3": ("MP3", "MPEG_LAYER_III"), "AIFF": ("AIFF", "PCM_S8"), "voc": ("VOC", "PCM_16"),
        "8svx": ("SVX", "PCM_16"), "avr": ("AVR", "PCM_16"), "gsm": ("RAW", "GSM610"),
    }  # fmt: skip
    for number, (suffix, (format_name, encoding)) in enumerate(suffixes.items()):
        folder = tmp_path / f"folder {number % 3}" / "within"
        folder.mkdir(parents=True, exist_ok=True)
        data = encoded(tone(), format=format_name, subtype=encoding)
        (folder / f"{number}.{suffix}").write_bytes(data)
    found, left_out = find_recordings(tmp_path)
    assert {path.suffix[1:] for path in found} == set(suffixes)
    assert found == sorted(found)
    assert left_out == {}
    for path in found:
        assert 8000 <= len(read_mono(path, RATE)) < 9300, path


@pytest.mark.posix
def test_what_is_no_recording_is_left_out_by_name_or_passed_over(tmp_path):
    sound = encoded(tone(0.1))
    heard = [b"b/c/deep.WAV", b"new\nline.wav", b"not utf-8 \xff\xfe.wav"]
    named = [b"b/song.m4a", b"film.mov", b"kick"]
    unnamed = [b".hidden.wav", b"b/.git/sound.wav", b"notes.txt", b"cover.jpg", b"b/a.wav.asd"]
    for name in (*heard, *named, *unnamed):
        path = os.path.join(os.fsencode(tmp_path), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(sound)
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "zero.wav").symlink_to("/dev/zero")
    (tmp_path / "gone.wav").symlink_to("nowhere.wav")
    (tmp_path / "b" / "up").symlink_to("..")
    (tmp_path / "a link").symlink_to("b")
    found, left_out = find_recordings(tmp_path)
    assert [os.fsencode(path.relative_to(tmp_path)) for path in found] == heard
    for recording in found:
        assert len(read_mono(recording, RATE)) == 800
    assert set(left_out) == {*map(os.fsdecode, named), "pipe.wav", "zero.wav", "gone.wav"}
    assert left_out["b/song.m4a"] == (
        "is in no format that can be read (.m4a); export it as WAV or FLAC"
    )
    assert "pipe" in left_out["pipe.wav"]
    assert "no such file" in left_out["gone.wav"]
    with pytest.raises(FileNotFoundError):
        find_recordings(tmp_path / "nowhere")


@pytest.mark.posix
def test_only_regular_files_are_opened_and_nothing_is_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    for path in (tmp_path / "pipe.wav", Path("/dev/zero"), Path("/dev/stdin")):
        with pytest.raises(RecordingError, match="is a device or a pipe, not a sound file"):
            read_mono(path, RATE)
    with pytest.raises(RecordingError, match="is a folder, not a sound file"):
        read_mono(tmp_path, RATE)


def test_errors_name_the_file_and_the_reason_in_words(stored, tmp_path):
    for data, reason in [
        (b"la la la", "cannot be read: Format not recognised"),
        (b"", "is empty"),
        (encoded(np.zeros(0), 44_100), "is empty"),
        (encoded(np.full(9000, np.nan)), "has samples that are not finite; export it again"),
        (encoded(tone(), 500), "has a sample rate of 500 Hz; convert it to one from 1000 to"),
        (encoded(tone(), 2_000_000), "has a sample rate of 2000000 Hz"),
        (encoded(np.zeros((99, 40))), "has 40 channels"),
    ]:
        path = stored(data)
        with pytest.raises(RecordingError) as raised:
            read_mono(path, 48_000)
        assert raised.value.path == path
        assert raised.value.reason.startswith(reason)
        assert str(raised.value) == f"{path} {raised.value.reason}"
    for path, reason in [
        (tmp_path / "none.wav", "there is no such file"),
        (tmp_path / ("x" * 300), "the name is too long"),
        (tmp_path / "sound.wav" / "in.wav", "part of the path is a file"),
        ("a\0b", "null byte"),
    ]:
        with pytest.raises(RecordingError, match=reason):
            read_mono(path, 48_000)


@pytest.mark.parametrize("rate", [44_101, 8363, 49_501, 47_999, 11_025, 1000, 767_999])
def test_a_tone_of_any_rate_is_resampled_as_that_tone(stored, rate):
    samples = read_mono(stored(encoded(tone(0.5, rate, 220), rate)), 48_000).numpy()
    assert len(samples) == pytest.approx(round(0.5 * rate) / rate * 48_000, abs=1)
    inside = slice(4800, 19_200)
    assert samples[inside] == pytest.approx(tone(0.5, 48_000, 220)[inside], abs=1e-3)


def test_channels_that_cancel_keep_their_sound(stored):
    sound, hiss = tone(2), 0.002 * np.random.default_rng(1).normal(size=(16_000, 2))
    miswired = np.stack([sound, -sound], axis=1)
    half = np.concatenate([np.stack([sound, sound], axis=1)[:8000], miswired[8000:]])
    for channels in (miswired, miswired + hiss, half + hiss):
        samples = read_mono(stored(encoded(channels)), RATE).numpy()
        assert np.corrcoef(samples, sound)[0, 1] > 0.999
        assert np.abs(samples).max() > 0.25
    other = noise(2)
    four = np.stack([sound, -sound, other, -other], axis=1)
    samples = read_mono(stored(encoded(four)), RATE).numpy()
    assert samples == pytest.approx((sound + other) / 2, abs=1e-6)


def test_what_is_in_the_middle_survives_beside_what_cancels(stored):
    """A pad whose sides are opposite, and beats in the middle that are louder."""
    pad, beats = 0.1 * tone(2), np.zeros(16_000)
    for beat in range(0, 16_000, 4000):
        beats[beat : beat + 400] = noise(0.05, beat)[:400] * 5
    samples = read_mono(stored(encoded(np.stack([beats + pad, beats - pad], axis=1))), RATE).numpy()
    assert np.corrcoef(samples - beats, pad)[0, 1] ** 2 > 0.9
    assert np.corrcoef(samples, beats)[0, 1] > 0.9


def test_an_ordinary_mix_is_the_mean_of_the_channels(stored):
    left, right = noise(1, 1), noise(1, 2)
    for channels in ((left, right), (left, left), (left, np.zeros(8000)), (left, -0.3 * left)):
        samples = read_mono(stored(encoded(np.stack(channels, axis=1))), RATE).numpy()
        assert samples == pytest.approx(np.mean(channels, axis=0), abs=1e-6)


def test_an_offset_is_removed_and_a_sound_without_one_is_left_as_it_is(stored):
    sound = noise(1).astype("float32")
    assert (read_mono(stored(encoded(sound)), RATE).numpy() == sound).all()
    shifted = np.stack([sound + 0.4, sound - 0.1], axis=1)
    samples = read_mono(stored(encoded(shifted)), RATE).numpy()
    assert samples.mean() == pytest.approx(0, abs=2e-3)
    assert np.corrcoef(samples, sound)[0, 1] > 0.9999
    nothing = read_mono(stored(encoded(np.full(8000, 0.3))), RATE)
    assert nothing.abs().max() < 1e-6


def test_a_long_recording_takes_little_more_memory_than_its_samples(tmp_path):
    path = tmp_path / "long.wav"
    second = np.stack([noise(1, 1, 48_000), noise(1, 2, 48_000)], axis=1)
    with soundfile.SoundFile(path, "w", 48_000, 2) as file:
        for _ in range(60):
            file.write(second)
    tracemalloc.start()
    try:
        samples = read_mono(path, RATE)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(samples) == 60 * RATE
    assert peak < 4 * len(samples) + 8e6  # 60 s of stereo are 23 MB


@pytest.mark.parametrize("tail", ["digital silence", "a room", "an offset"])
def test_the_last_sound_is_what_comes_before_silence(stored, tail):
    phrase = np.concatenate([0.2 * noise(2), noise(1, 1)])
    after = {
        "digital silence": np.zeros(RATE * 3),
        "a room": 3e-4 * np.random.default_rng(2).normal(size=RATE * 3),
        "an offset": np.zeros(RATE * 3),
    }[tail]
    sound = np.concatenate([phrase, after]) + (0.02 if tail == "an offset" else 0)
    samples, peak = last_sound(stored(encoded(sound)), RATE, 4000)
    end = len(phrase)
    ends = [e for e in range(end - 200, end + 200)
            if np.corrcoef(samples, sound[e - 4000 : e])[0, 1] > 0.999]  # fmt: skip
    assert ends
    assert 0 <= ends[0] - end < RATE // 50
    assert peak == pytest.approx(np.abs(phrase).max(), rel=0.05)


def test_the_level_of_the_last_sound_is_that_of_the_recording(stored):
    sound = np.concatenate([tone(1), 0.1 * tone(1)])
    samples, peak = last_sound(stored(encoded(sound)), RATE, 4000)
    assert np.abs(samples).max() == pytest.approx(0.03, rel=0.01)
    assert peak == pytest.approx(0.3, rel=0.01)


@pytest.mark.parametrize("sound", [np.zeros(8000), 1e-5 * noise(), np.full(8000, 0.3)])
def test_a_recording_without_sound_is_said_to_be_silent(stored, sound):
    with pytest.raises(RecordingError, match=r"is silent; choose a recording with sound in it"):
        last_sound(stored(encoded(sound)), RATE, 4000)


@pytest.mark.parametrize("rate", [48_000, 44_100, 44_101])
@pytest.mark.parametrize(
    "options",
    [
        {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "VARIABLE"},
        {"format": "OGG", "subtype": "VORBIS"},
        {},
    ],
)
def test_the_last_sound_has_the_samples_of_the_end_of_the_whole(stored, options, rate):
    if rate == 44_101 and options:
        pytest.skip("the codec has no such rate")
    path = stored(encoded(noise(5.3, rate=rate) * tone(5.3, rate, 3), rate, **options))
    whole = read_mono(path, 48_000).numpy()
    samples, _ = last_sound(path, 48_000, 48_000)
    start = next(  # near the end, where the first samples are found
        place for place in range(len(whole) - 48_000, len(whole) - 50_000, -1)
        if np.abs(whole[place : place + 100] - samples[:100]).max() < 1e-5
    )  # fmt: skip
    assert samples == pytest.approx(whole[start : start + len(samples)], abs=1e-5)


@pytest.mark.posix
def test_bad_files_among_good_ones_are_left_out_of_training_and_benchmarks(tmp_path, caplog):
    for number in range(5):
        (tmp_path / f"{number}.wav").write_bytes(encoded(tone(1, 44_100, 200 + number), 44_100))
    (tmp_path / "empty.wav").write_bytes(encoded(np.zeros(0), 44_100))
    (tmp_path / "text.wav").write_text("la la la")
    os.mkfifo(tmp_path / "pipe.wav")
    dataset = read_dataset(tmp_path)
    assert len(dataset.recordings) == 5
    assert dataset.skipped_files["empty.wav"] == "is empty"
    assert {"empty.wav", "pipe.wav", "text.wav"} == set(dataset.skipped_files)
    assert len(read_recordings(tmp_path, RATE, 0.5)) == 5
    assert "empty.wav is empty" in caplog.text


def test_ctrl_c_ends_reading(stored):
    path = stored(encoded(noise(20), format="FLAC", subtype="PCM_16"))
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        timer.start()
        while timer.is_alive() or timer.finished.is_set():
            read_mono(path, 48_000)


@pytest.mark.slow
def test_whatever_is_wrong_with_a_recording_is_one_kind_of_error(tmp_path):
    """The first of those that ``python -m tests.mutate_recordings`` tries."""
    path = tmp_path / "damaged"
    problems = {}
    for name, data in damaged(whole_recordings(), 100):
        path.write_bytes(data)
        if problem := trouble(path):
            problems[name] = problem
    assert problems == {}


def test_headerless_formats_are_told_by_their_suffix(stored):
    assert "vox" in AUDIO_SUFFIXES
    data = encoded(tone(), format="RAW", subtype="VOX_ADPCM")
    samples = read_mono(stored(data, "sound.vox"), RATE).numpy()[:8000]
    assert np.corrcoef(samples, tone())[0, 1] > 0.98
