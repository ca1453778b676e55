"""Where the commands write takes to."""

from __future__ import annotations

import mimetypes
import os
from dataclasses import dataclass
from pathlib import Path

from distill_prior_gen.atomic import check_writable
from distill_prior_gen.export.naming import existing
from distill_prior_gen.formats import FORMATS, ExportConfig

OTHER_FORMATS = (".aac", ".caf", ".m4a", ".w64", ".wma")
"""Suffixes of sound files that are not written, beside those that `mimetypes` knows."""


@dataclass(frozen=True)
class Destination:
    """Where takes are written to.

    Attributes:
        text: what was given as ``--output``: a file, or a folder for files named after model and
            seed.
        export: format, sample rate and bit depth.
        overwrite: whether existing files may be replaced.
    """

    text: str
    export: ExportConfig
    overwrite: bool

    @property
    def path(self) -> Path:
        """The file or folder."""
        return Path(self.text)

    @staticmethod
    def is_file(text: str) -> bool:
        """Whether a text names a file: it has the suffix of a file and is not a folder."""
        suffix = os.path.splitext(text)[1].lower()
        if text.endswith(("/", os.sep)) or os.path.isdir(text) or not suffix:
            return False
        known = suffix[1:] in FORMATS or suffix in OTHER_FORMATS
        return known or mimetypes.MimeTypes().guess_type(f"name{suffix}")[0] is not None

    def files(self, count: int) -> list[Path] | None:
        """The files for `count` takes, or None for a folder; checks that they can be written.

        Raises:
            FileExistsError: if one exists and may not be replaced.
            OSError: if one could not be written.
        """
        from distill_prior_gen.export.files import check_free

        if not self.is_file(self.text):
            if os.path.lexists(self.path) and not self.path.is_dir():
                raise NotADirectoryError(f"{self.path} is a file, not a folder for takes")
            try:
                check_writable(self.path / "take")
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(self.path)) from error
            return None
        paths = [self.path]
        if count > 1:
            stem = self.path.stem
            paths = [self.path.with_stem(f"{stem}-{take}") for take in range(1, count + 1)]
        for path in paths:
            if not self.overwrite and (taken := existing(path)):
                raise FileExistsError(f"{taken} exists; choose another name or add --force")
            check_free(path, self.overwrite)
            check_writable(path)
        return paths


def resolve_format(output: str, chosen: str | None, default: str) -> str:
    """The format that the suffix of the output and ``--format`` agree on.

    Raises:
        ValueError: if they do not.
    """
    if not Destination.is_file(output):
        return chosen or default
    suffix = os.path.splitext(output)[1]
    form = suffix[1:].lower()
    if form not in FORMATS:
        raise ValueError(
            f"--output must end in one of .{', .'.join(FORMATS)}, not {suffix}; "
            "a folder of that name must end in /"
        )
    if chosen not in (None, form):
        raise ValueError(f"--format is {chosen}, but --output ends in {suffix}")
    return form
