"""What docs/http.md says."""

import re
import subprocess
from dataclasses import fields
from pathlib import Path

import gradio
import numpy as np
import pytest
import soundfile
from gradio_client import Client

from distill_prior_gen import GenerationConfig, generate, load_model
from distill_prior_gen.demo import demo_model
from distill_prior_gen.hookspecs import TabContext
from distill_prior_gen.ui.app import create_app

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "http.md").read_text(encoding="utf-8")

PAGE_FORMS = {"allow_long", "prompt_crossfade"}
"""Fields of `GenerationConfig` that the page has in another form."""


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    folder = tmp_path_factory.mktemp("http")
    app = create_app(TabContext((folder,), folder / "takes", device="cpu"))
    _, url, _ = app.launch(prevent_thread_lock=True, quiet=True, inbrowser=False)
    yield url.rstrip("/")
    app.close()


@pytest.fixture(scope="module")
def expected():
    """The take of the examples."""
    take = generate(
        load_model(demo_model(), "cpu"), GenerationConfig(duration=4, seed=7, width=0.5)
    )
    return take.channels / max(1.0, np.abs(take.channels).max())


def example(language, url):
    (code,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert "http://127.0.0.1:7860" in code
    return code.replace("http://127.0.0.1:7860", url)


@pytest.mark.slow
def test_the_example_in_python_runs(url, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(example("python", url), "docs/http.md", "exec"), {})
    heard, _ = soundfile.read("Demo-7.flac")
    assert Path("Demo-7.flac.json").exists()
    assert heard.shape == expected.shape
    assert np.corrcoef(heard[:, 0], expected[:, 0])[0, 1] > 0.9999


@pytest.mark.slow
@pytest.mark.posix
@pytest.mark.skipif(gradio.__version__ < "6", reason="names of parameters need Gradio 6")
def test_the_example_with_curl_runs(url, expected, tmp_path):
    subprocess.run(["bash", "-ec", example("sh", url)], cwd=tmp_path, check=True, timeout=120)
    heard, _ = soundfile.read(tmp_path / "take.wav")
    np.testing.assert_allclose(heard, expected, atol=2 / 32768)


def test_parameters_are_named_like_the_settings_and_may_be_left_out(url):
    endpoints = Client(url, verbose=False).view_api(return_format="dict", print_info=False)
    endpoints = endpoints["named_endpoints"]
    named = set(re.findall(r"`(/\w+_prior_\w+)`", PAGE))
    assert named == {name for name in endpoints if "prior" in name}
    parameters = endpoints["/generate_prior_take"]["parameters"]
    names = [parameter["parameter_name"] for parameter in parameters]
    assert {field.name for field in fields(GenerationConfig)} - set(names) == PAGE_FORMS
    assert all(parameter["parameter_has_default"] for parameter in parameters)
    exported = endpoints["/export_prior_take"]["parameters"]
    assert [p["parameter_name"] for p in exported if not p["parameter_has_default"]] == ["number"]
    for parameter in exported:
        assert f"`{parameter['parameter_name']}`" in PAGE
