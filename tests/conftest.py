import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import settings

# Two test processes with two spinning threads each would wait for each other most of the time.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# The defaults of the user who runs the tests do not count.
os.environ["DISTILL_PRIOR_CONFIG"] = os.devnull
os.environ["DISTILL_PRIOR_PRESETS"] = os.path.join(os.devnull, "presets")

from distill_prior_gen import PriorModel, load_model
from distill_prior_gen.cli import cli
from distill_prior_gen.demo import demo_model
from tests.helpers.models import FIXTURES, add_timeline, write_model

# How long an example takes depends on what else the machine does.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


def pytest_configure() -> None:
    # What a shell starts in the background ignores Ctrl-C, and what nohup starts ignores
    # SIGHUP. Some tests send them.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):  # not on Windows
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # A long test that began last would leave the other test processes without work.
    items.sort(key=lambda item: item.get_closest_marker("longest") is None)
    for item in items:
        if sys.platform == "win32" and item.get_closest_marker("posix"):
            item.add_marker(pytest.mark.skip(reason="needs a POSIX system"))


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "small.distill")


@pytest.fixture(scope="session")
def model(model_path: Path) -> PriorModel:
    return load_model(model_path, device="cpu")


@pytest.fixture(scope="session")
def remembering(tmp_path_factory: pytest.TempPathFactory) -> PriorModel:
    """A model with a timeline prior."""
    path = write_model(tmp_path_factory.mktemp("timeline") / "small.distill")
    return load_model(add_timeline(path), device="cpu")


@pytest.fixture(scope="session")
def demo() -> PriorModel:
    """The demo model."""
    return load_model(demo_model(), device="cpu")


@pytest.fixture(params=["demo", "tabla"])
def trained_model(request: pytest.FixtureRequest) -> PriorModel:
    """A model that was trained on recordings: the demo model, and one of the Distill app."""
    path = demo_model() if request.param == "demo" else request.getfixturevalue("tabla")
    return load_model(path, "cpu")


@pytest.fixture(scope="session")
def tabla() -> Path:
    """A model that the Distill app trained on tabla strokes."""
    path = FIXTURES / "core_v2_tabla.distill"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium. It ends with the module, because its event loop would disturb other tests."""
    from tests.helpers.browser import open_browser  # needs Playwright

    with open_browser() as browser:
        yield browser


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs ``distill-prior`` with arguments, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: object) -> Result:
        return CliRunner().invoke(cli, [str(argument) for argument in arguments])

    return invoke
