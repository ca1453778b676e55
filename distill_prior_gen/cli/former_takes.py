"""Takes that were made before, and recordings, which commands make something new of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill_prior_gen.demo import demo_model

if TYPE_CHECKING:
    from distill_prior_gen.export.sidecar import FileReference, Sidecar


@dataclass(frozen=True)
class FormerTake:
    """A take that was made before, or a recording.

    Attributes:
        path: its sidecar, or the recording.
        sidecar: what that says; None for a recording.
        model: the model to make it again with, or to encode it with.
    """

    path: Path
    sidecar: Sidecar | None
    model: Path

    @classmethod
    def find(cls, path: Path, model: Path | None) -> FormerTake:
        """Read a sidecar and find its model; for a recording, the demo model.

        Args:
            path: the sidecar, or a recording.
            model: a model to use instead.

        Raises:
            OSError: if the sidecar cannot be read, or a file is not there any more.
            ValueError: if it is no sidecar, or one of a newer version.
        """
        from distill_prior_gen.export.opening import is_sidecar_name
        from distill_prior_gen.export.sidecar import read_sidecar

        if is_sidecar_name(path):
            sidecar = read_sidecar(path)
            return cls(path, sidecar, model or _find_model(path, sidecar.model))
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist")
        return cls(path, None, model or demo_model())

    def settings(self, changes: dict[str, Any]) -> dict[str, Any]:
        """Its settings with changes.

        Raises:
            FileNotFoundError: if its prompt is not there any more.
        """
        from distill_prior_gen.export.opening import take_settings

        return take_settings(self.path, self.sidecar, changes) if self.sidecar else changes


def _find_model(sidecar: Path, file: FileReference) -> Path:
    """The model that a sidecar refers to; the demo model, wherever it is installed."""
    from distill_prior_gen.export.opening import find_file

    try:
        return find_file(sidecar, file, "--model")
    except FileNotFoundError:
        if Path(file.path).name == demo_model().name:
            return demo_model()
        raise
