"""The model that comes with the package; see docs/demo-model.md."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def demo_model() -> Path:
    """Where the demo model is."""
    return Path(str(files(__package__) / "demo.distill"))
