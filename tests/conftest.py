import os
import signal
from pathlib import Path

import pytest

# Two test processes with two spinning threads each would wait for each other most of the time.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from distill_prior_gen import PriorModel, load_model

from .models import FIXTURES, write_model


def pytest_configure() -> None:
    # What a shell starts in the background ignores Ctrl-C, and what nohup starts ignores
    # SIGHUP. Some tests send them.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "small.distill")


@pytest.fixture(scope="session")
def model(model_path: Path) -> PriorModel:
    return load_model(model_path, device="cpu")


@pytest.fixture(scope="session")
def tabla() -> Path:
    """A model that the Distill app trained on tabla strokes."""
    path = FIXTURES / "core_v2_tabla.distill"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return path
