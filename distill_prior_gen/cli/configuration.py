"""Defaults of options from a configuration file."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import click
import platformdirs

from distill_prior_gen.version import APP_NAME

CONFIG_VARIABLE = "DISTILL_PRIOR_CONFIG"
"""Environment variable with the path of the configuration file."""


def config_path() -> Path:
    """The configuration file, which need not exist."""
    given = os.environ.get(CONFIG_VARIABLE)
    return Path(given) if given else platformdirs.user_config_path(APP_NAME) / "config.toml"


def read_defaults(group: click.Group) -> dict[str, dict[str, Any]]:
    """Defaults of the options of commands, from the configuration file.

    Args:
        group: the group of the commands.

    Returns:
        Values by the name of the parameter, by the name of the command; without a file, {}.

    Raises:
        click.ClickException: naming the file and what is wrong with it.
    """
    path = config_path()
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if CONFIG_VARIABLE in os.environ:
            raise click.ClickException(f"{path}, named by ${CONFIG_VARIABLE}, is missing") from None
        return {}
    except OSError as error:
        raise click.ClickException(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # no TOML, or no UTF-8
        raise click.ClickException(f"{path} is not a TOML file: {error}") from error
    return {name: _defaults(path, group, name, table) for name, table in tables.items()}


def _defaults(path: Path, group: click.Group, name: str, table: Any) -> dict[str, Any]:
    """Values of one command, by the names of its parameters."""
    command = group.commands.get(name)
    if command is None or not isinstance(table, dict):
        known = ", ".join(f"[{each}]" for each in group.commands)
        raise click.ClickException(f"{path}: {name} is not a command; there can be {known}")
    options = {
        flag.removeprefix("--"): option
        for option in command.params
        if isinstance(option, click.Option)
        for flag in (*option.opts, *option.secondary_opts)
        if flag.startswith("--")
    }
    values = {}
    for key, value in table.items():
        if key not in options:
            raise click.ClickException(f"{path}: [{name}] {key} is not an option of {name}")
        if isinstance(value, list) and not options[key].multiple:
            value = ",".join(map(str, value))
        if key.startswith("no-") and isinstance(value, bool) and options[key].secondary_opts:
            value = not value
        values[str(options[key].name)] = value
    return values
