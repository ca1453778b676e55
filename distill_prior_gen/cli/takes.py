"""``distill-prior takes``: the takes that the Prior tab has saved."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distill_prior_gen.cli import options
from distill_prior_gen.cli.ui import DEFAULT_OUTPUT
from distill_prior_gen.messages import printable

if TYPE_CHECKING:
    from distill_prior_gen.store.saved_take import SavedTake
    from distill_prior_gen.store.takes import Part, TakeStore

NAME_DIGITS = 8
"""Digits of the folder of a browser that stand in the names of its takes."""


def _output_of_ui() -> Any:
    """Folder that 'distill-prior ui' has by default."""
    defaults = click.get_current_context().find_root().default_map or {}
    return defaults.get("ui", {}).get("output", DEFAULT_OUTPUT)


@click.group()
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    envvar=["DISTILL_PRIOR_TAKES_OUTPUT", "DISTILL_PRIOR_UI_OUTPUT"],
    default=_output_of_ui,
    help="Output folder of the tab.  [default: that of 'distill-prior ui']",
)
@click.pass_context
def takes(context: click.Context, output: Path) -> None:
    """List, search, star and open the takes that the Prior tab has saved."""
    from distill_prior_gen.store.takes import FOLDER, TakeStore

    context.obj = TakeStore(output / FOLDER)


@takes.command("list")
@click.argument("words", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
@click.pass_obj
def list_takes(store: TakeStore, words: tuple[str, ...], as_json: bool) -> None:
    """List takes, the newest first; with WORDS, those that have all of them.

    Each line has the name of a take for the other commands, a star if it has one, the time at which
    it was saved, and its seed, model, length and settings. WORDS are searched for in these: 'seed
    7', 'loop', 'temperature 0.8', 'starred'. A word may be the beginning of one.
    """
    from distill_prior_gen.store.words import matches, search_text

    found = [
        (name, take, starred)
        for name, take, starred in _all_takes(store)
        if matches(" ".join(words), search_text(take, starred))
    ]
    if as_json:
        described = [_describe(name, take, starred) for name, take, starred in found]
        click.echo(json.dumps(described, indent=2))
        return
    for name, take, starred in found:
        saved = datetime.fromtimestamp(take.saved_at).strftime("%Y-%m-%d %H:%M")
        text = search_text(take).partition(", ")[2].replace("`", "")
        click.echo(printable(f"{name:>5} {'*' if starred else ' '} {saved}  {text}"))
    if not found:
        click.echo(f"No such takes in {store.folder}" if words else f"No takes in {store.folder}",
                   err=True)  # fmt: skip


@takes.command()
@click.argument("names", metavar="TAKE...", nargs=-1, required=True)
@click.pass_obj
def star(store: TakeStore, names: tuple[str, ...]) -> None:
    """Star takes, so that they are kept whatever else is saved."""
    _mark(store, names, True)


@takes.command()
@click.argument("names", metavar="TAKE...", nargs=-1, required=True)
@click.pass_obj
def unstar(store: TakeStore, names: tuple[str, ...]) -> None:
    """Take the stars of takes away."""
    _mark(store, names, False)


@takes.command("open")
@click.argument("name", metavar="TAKE")
@click.option("--play", is_flag=True, help="Open it with the program for FLAC files.")
@options.as_json
@click.pass_obj
def open_(store: TakeStore, name: str, play: bool, as_json: bool) -> None:
    """Print the path of a take; its sidecar, PATH.json, is for 'replay', 'redraw' and so on."""
    part, number = _find(store, name)
    take = part.read(number)
    if take is None:
        raise click.ClickException(f"{part.path(number)}.json does not describe a take")
    if as_json:
        click.echo(json.dumps(_describe(name, take, part.is_starred(number)), indent=2))
    else:
        click.echo(str(take.path))
    if play and click.launch(str(take.path)):
        raise click.ClickException(f"no program could open {take.path}")


def _all_takes(store: TakeStore) -> Iterator[tuple[str, SavedTake, bool]]:
    """Names, takes, and whether they have stars."""
    for part in store.all_parts():
        for number, files in part.listed().items():
            take = part.read(number)
            if take is None:
                click.echo(f"{part.path(number)}.json does not describe a take", err=True)
            else:
                browser = Path(part.name).name[:NAME_DIGITS]
                yield f"{browser}/{number}" if browser else str(number), take, files.starred


def _describe(name: str, take: SavedTake, starred: bool) -> dict[str, Any]:
    """What ``--json`` prints of a take."""
    return {
        "name": name,
        "path": str(take.path),
        "sidecar": str(take.sidecar),
        "starred": starred,
        "saved": datetime.fromtimestamp(take.saved_at).astimezone().isoformat(timespec="seconds"),
        "model": asdict(take.model),
        "seed": take.config.seed,
        "duration_s": take.duration,
        "config": asdict(take.config),
    }


def _find(store: TakeStore, name: str) -> tuple[Part, int]:
    """The part and the number of a take.

    Raises:
        click.ClickException: if there is no such take.
    """
    browser, slash, number = name.rpartition("/")
    for part in store.all_parts():
        own = Path(part.name).name
        fits = browser and own.startswith(browser) if slash else not own
        if fits and number.isdecimal() and part.has(int(number)):
            return part, int(number)
    raise click.ClickException(
        f"there is no take {name} in {store.folder}; 'distill-prior takes list' lists them"
    )


def _mark(store: TakeStore, names: tuple[str, ...], wanted: bool) -> None:
    from distill_prior_gen.store.takes import STARRED

    for part, number in [_find(store, name) for name in names]:
        part.mark(number, STARRED, wanted)
