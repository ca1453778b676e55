import base64
import io
import re

import numpy as np
import pytest
import soundfile
from PIL import Image

from distill_prior_gen import GenerationConfig, generate, progress_bar


@pytest.fixture(params=[{}, {"loop": True, "width": 0.5}], scope="module", ids=["mono", "loop"])
def take(request, model):
    return generate(model, GenerationConfig(seed=7, duration=2, quality="fast", **request.param))


def data(html, kind):
    return io.BytesIO(base64.b64decode(re.search(rf'src="data:{kind};base64,([^"]+)"', html)[1]))


def test_a_take_has_a_player_with_its_sound(take):
    html = take._repr_html_()
    heard, rate = soundfile.read(data(html, "audio/flac"))
    expected = take.channels / max(1.0, np.abs(take.channels).max())
    assert rate == take.sample_rate
    np.testing.assert_allclose(heard, expected, atol=1 / 32768)
    assert ("<audio controls loop " in html) == take.config.loop
    assert "seed 7<" in html


def test_its_picture_is_the_mel(take):
    image = np.asarray(Image.open(data(take._repr_html_(), "image/png")), dtype=float)[::-1]
    assert image.shape == take.mel.shape
    mel = take.mel.numpy()
    loud = mel > np.log1p(1e-7 * np.expm1(mel.max()))
    assert np.corrcoef(np.log(np.expm1(mel[loud])), image[loud])[0, 1] > 0.99


@pytest.mark.browser
@pytest.mark.slow
def test_a_browser_plays_it(take, browser):
    page = browser.new_page()
    page.set_content(take._repr_html_())
    page.wait_for_function("() => document.querySelector('audio').readyState >= 1")
    assert page.evaluate("() => document.querySelector('audio').duration") == pytest.approx(2.0)
    assert page.evaluate("() => document.querySelector('img').naturalWidth") == take.mel.shape[1]


def test_progress_is_shown_and_gone_in_the_end(model, capsys):
    with progress_bar() as report:
        generate(model, GenerationConfig(duration=1, quality="fast"), report)
        assert "Reconstructing the waveform..." in capsys.readouterr().err
    assert not capsys.readouterr().err.split("\r")[-1].strip()
    with progress_bar(False) as report:
        report(0.5, "Nothing is shown")
    assert capsys.readouterr().err == ""
