"""``distill-prior preset``: settings of takes under names."""

from __future__ import annotations

import json
from typing import Any

import click

from distill_prior_gen.cli import options
from distill_prior_gen.messages import in_words
from distill_prior_gen.store.presets import (
    LEFT_OUT,
    list_presets,
    read_preset,
    remove_preset,
    rename_preset,
    save_preset,
)

SAVED = [flags.split()[0][2:] for flags in options.TAKE]
SAVED = [name for name in SAVED if name.replace("-", "_") not in LEFT_OUT]
"""Options that a preset may have."""


@click.group()
def preset() -> None:
    """Save settings under a name, for --preset NAME and for the Prior tab."""


@preset.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print names and settings as JSON.")
def list_(as_json: bool) -> None:
    """List the names of the presets."""
    if as_json:
        click.echo(json.dumps({name: read_preset(name) for name in list_presets()}, indent=2))
        return
    for name in list_presets():
        click.echo(name)


@preset.command()
@click.argument("name")
@options.take(show_default=False, names=SAVED)
@click.option("--force", is_flag=True, help="Replace a preset of that name.")
def save(name: str, force: bool, **settings: Any) -> None:
    """Save the given settings as the preset NAME.

    Settings that are not given stay as they are where the preset is used. Seed and prompt belong to
    a take, and are not saved.
    """
    given = options.explicit_settings(settings)
    if not given:
        raise click.UsageError("give at least one setting, such as --temperature 0.8")
    try:
        save_preset(name, given, force)
    except FileExistsError as error:
        raise click.UsageError(f"{error}; --force replaces it") from error
    except ValueError as error:
        raise click.UsageError(str(error)) from error


@preset.command()
@click.argument("name")
def show(name: str) -> None:
    """Print the settings of a preset as JSON."""
    click.echo(json.dumps(_read(name), indent=2))


@preset.command()
@click.argument("name")
@click.argument("new")
def rename(name: str, new: str) -> None:
    """Give the preset NAME the name NEW."""
    try:
        rename_preset(name, new)
    except (FileExistsError, FileNotFoundError, ValueError) as error:
        raise click.UsageError(in_words(error)) from error


@preset.command()
@click.argument("name")
def rm(name: str) -> None:
    """Delete a preset."""
    try:
        remove_preset(name)
    except (FileNotFoundError, ValueError) as error:
        raise click.UsageError(in_words(error)) from error


def _read(name: str) -> dict[str, Any]:
    try:
        return read_preset(name)
    except (FileNotFoundError, ValueError) as error:
        raise click.UsageError(in_words(error)) from error
