"""Takes that were made before: how they are made again from their sidecars."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill_prior_gen.cli.destination import resolve_format
from distill_prior_gen.config import SAMPLE_RATES, ExportConfig, GenerationConfig
from distill_prior_gen.demo import demo_model

if TYPE_CHECKING:
    from distill_prior_gen.export.sidecar import FileReference, Sidecar


@dataclass(frozen=True)
class FormerTake:
    """A take that was made before.

    Attributes:
        path: its sidecar.
        sidecar: what that says.
        model: the model to make it again with.
        config: its settings, whose prompt is a file that exists.
    """

    path: Path
    sidecar: Sidecar
    model: Path
    config: dict[str, Any]

    @classmethod
    def read(cls, path: Path, model: Path | None, prompt: str | None = None) -> FormerTake:
        """Read a sidecar, and find the files that it refers to.

        Args:
            path: the sidecar.
            model: a model to use instead of that of the sidecar.
            prompt: a prompt to use instead of that of the sidecar.

        Raises:
            OSError: if the sidecar cannot be read, or a file is not there any more.
            ValueError: if it is no sidecar, or one of a newer version.
        """
        from distill_prior_gen.export.sidecar import read_sidecar

        sidecar = read_sidecar(path)
        model = model or _find(path, sidecar.model, "--model")
        config = dict(sidecar.config)
        if sidecar.prompt and prompt is None:
            prompt = str(_find(path, sidecar.prompt, "--prompt of 'distill-prior replay'"))
        config["prompt"] = prompt
        if unknown := config.keys() - {field.name for field in fields(GenerationConfig)}:
            raise ValueError(
                f"{path} has settings that this version does not know "
                f"({', '.join(sorted(unknown))}); install a newer one"
            )
        return cls(path, sidecar, model, config)

    def export(
        self, output: str, format_: str | None, sample_rate: int | None, bit_depth: int | None
    ) -> ExportConfig:
        """The options of the audio file; those that are not given are those of the former take.

        Raises:
            ValueError: if they contradict each other.
        """
        chosen = resolve_format(output, format_, self.sidecar.format)
        if sample_rate is None and self.sidecar.sample_rate in SAMPLE_RATES:
            sample_rate = self.sidecar.sample_rate
        if bit_depth is None and chosen == self.sidecar.format:
            bit_depth = self.sidecar.bit_depth
        return ExportConfig(chosen, sample_rate, bit_depth)


def _find(sidecar: Path, file: FileReference, option: str) -> Path:
    """The file that a sidecar refers to; for the demo model, wherever it is installed."""
    for folder in (sidecar.parent, Path(os.path.realpath(sidecar)).parent):
        if os.path.exists(path := folder / file.path):
            return path
    path = sidecar.parent / file.path
    if path.name == demo_model().name:
        return demo_model()
    raise FileNotFoundError(
        f"{path} is not there any more; give it with {option} (its SHA-256 is {file.sha256})"
    )
