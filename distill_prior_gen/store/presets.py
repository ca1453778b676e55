"""Presets: settings of takes under names, in files of the user's configuration folder."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import platformdirs

from distill_prior_gen.atomic import atomic_write
from distill_prior_gen.config import GenerationConfig
from distill_prior_gen.version import APP_NAME

FOLDER_VARIABLE = "DISTILL_PRIOR_PRESETS"
"""Environment variable with the folder of the presets."""

LEFT_OUT = ("seed", "prompt", "prompt_crossfade", "vary")
"""Settings that belong to a take rather than to a manner of making takes."""

FIELDS = tuple(item.name for item in fields(GenerationConfig) if item.name not in LEFT_OUT)
"""Fields of `GenerationConfig` that a preset may have."""

NAME = re.compile(r"\w(?:[\w .+-]{0,58}[\w+-])?")
"""Names of presets. They cannot be paths."""

MAX_BYTES = 1 << 16
"""Size of the largest preset that is read."""


def presets_folder() -> Path:
    """The folder of the presets, which need not exist."""
    given = os.environ.get(FOLDER_VARIABLE)
    return Path(given) if given else platformdirs.user_config_path(APP_NAME) / "presets"


def list_presets() -> list[str]:
    """Names of the presets in alphabetical order."""
    names = [path.stem for path in presets_folder().glob("*.json")]
    return sorted(filter(NAME.fullmatch, names), key=lambda name: (name.casefold(), name))


def read_preset(name: str) -> dict[str, Any]:
    """The settings of a preset.

    Returns:
        Values by fields of `GenerationConfig`. Those that are missing are left as they are.

    Raises:
        FileNotFoundError: if there is no such preset.
        OSError: if it cannot be read.
        ValueError: if the name cannot be one, or the file does not have settings.
    """
    path = _existing(name)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ValueError("it is too large")
        table = json.loads(data, object_pairs_hook=_unique)
        if not isinstance(table, dict):
            raise ValueError("it has no names and values")
        return _checked(table)
    except RecursionError as error:
        raise ValueError(f"{path} is not a preset: it is too deep") from error
    except ValueError as error:
        raise ValueError(f"{path} is not a preset: {error}") from error


def save_preset(name: str, settings: Mapping[str, Any], overwrite: bool = False) -> Path:
    """Save settings as a preset.

    Args:
        name: its name, such as ``"slow and dark"``.
        settings: values by fields of `GenerationConfig`; those of `LEFT_OUT` are left out.
        overwrite: whether a preset of that name is replaced.

    Returns:
        The file.

    Raises:
        FileExistsError: if there is such a preset and `overwrite` is False.
        OSError: if it cannot be written.
        ValueError: if the name cannot be one, or a setting is wrong.
    """
    path = _path(name)
    checked = _checked({key: value for key, value in settings.items() if key not in LEFT_OUT})
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not overwrite:
        raise FileExistsError(f"there is a preset {name} already")
    with atomic_write(path, overwrite) as partial:
        partial.write_text(json.dumps(checked, indent=2) + "\n", encoding="utf-8")
    return path


def rename_preset(name: str, new: str) -> None:
    """Give a preset another name.

    Raises:
        FileExistsError: if there is a preset of the new name.
        FileNotFoundError: if there is none of the old one.
        OSError: if the folder cannot be written.
        ValueError: if a name cannot be one.
    """
    old, path = _existing(name), _path(new)
    if path.exists() and not path.samefile(old):
        raise FileExistsError(f"there is a preset {new} already")
    old.rename(path)


def remove_preset(name: str) -> None:
    """Delete a preset.

    Raises:
        FileNotFoundError: if there is no such preset.
        OSError: if the folder cannot be written.
        ValueError: if the name cannot be one.
    """
    _existing(name).unlink()


def _path(name: str) -> Path:
    if not NAME.fullmatch(name):
        raise ValueError(
            f"{name[:80]!r} cannot be the name of a preset; use up to 60 letters, digits, spaces "
            "and ._+-, with a letter or a digit first and last"
        )
    return presets_folder() / f"{name}.json"


def _existing(name: str) -> Path:
    path = _path(name)
    if not path.is_file():
        known = ", ".join(list_presets()) or "none"
        raise FileNotFoundError(f"there is no preset {name}; there are: {known}")
    return path


def _checked(table: dict[str, Any]) -> dict[str, Any]:
    """Settings in the types of `GenerationConfig`.

    Raises:
        ValueError: naming the setting that is wrong.
    """
    if unknown := [key for key in table if key not in FIELDS]:
        raise ValueError(f"{unknown[0][:80]} is not a setting of a preset")
    settings: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
    config = GenerationConfig(**settings)
    return {key: getattr(config, key) for key in settings}


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a name occurs twice")
    return table
