import numpy as np
import pytest
import soundfile

from distill_prior_gen import GenerationConfig, generate, load_model
from distill_prior_gen.demo import demo_model
from distill_prior_gen.export.files import write_take
from distill_prior_gen.formats import LOOP_NOTES, ExportConfig


def seam(audio):
    """Largest step within 20 ms of the loop point, in relation to such places elsewhere."""
    around = np.abs(np.diff(np.roll(audio, len(audio) // 2, axis=0), axis=0))
    steps = [around[at - 960 : at + 960].max() for at in range(960, len(around) - 960, 1920)]
    middle = len(audio) // 2
    return around[middle - 960 : middle + 960].max() / np.median(steps)


@pytest.mark.slow
@pytest.mark.parametrize("width", [0.0, 1.0])
def test_what_formats_do_to_loops(tmp_path, width):
    """FLAC and WAV are exact, OGG keeps the length and has no step, and MP3 has one."""
    model = load_model(demo_model(), "cpu")
    loop = generate(model, GenerationConfig(seed=3, duration=4, loop=True, width=width))
    seams = {}
    for form in ("wav", "flac", "ogg", "mp3"):
        write_take(loop, model.identity, tmp_path / f"a.{form}", ExportConfig(form))
        audio, _ = soundfile.read(tmp_path / f"a.{form}")
        assert audio.shape == loop.channels.shape
        seams[form] = seam(audio)
    assert seams["wav"] == pytest.approx(seam(loop.channels), rel=0.01)
    assert seams["flac"] == pytest.approx(seams["wav"], rel=0.01)
    assert seams["ogg"] == pytest.approx(seams["wav"], rel=0.2)
    assert seams["mp3"] > 3 * seams["wav"]


@pytest.mark.parametrize("form", ["wav", "flac", "ogg", "mp3"])
def test_the_command_says_what_a_format_does_to_loops(run, model_path, form):
    arguments = ["sample", model_path, "-d", "1", "--quality", "fast", "--sampler", "independent"]
    arguments += ["--sample-rate", "48000"]
    loops = run(*arguments, "-n", "2", "--loop", "-o", f"loop.{form}").stderr
    assert [note for note in LOOP_NOTES.values() if note in loops] == (
        [LOOP_NOTES[form]] if form in LOOP_NOTES else []
    )
    assert loops.count("exact") + loops.count("use WAV") == (form in LOOP_NOTES)
    assert not any(
        note in run(*arguments, "-o", f"b.{form}").stderr for note in LOOP_NOTES.values()
    )
