"""``distill-prior ui``: the tabs in a browser, without the Distill app."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path

import click

from distill_prior_gen.cli import options
from distill_prior_gen.hookspecs import TAKES_BYTES, TabContext

DEFAULT_OUTPUT = Path("data/generated")


def _user_and_password(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[str, str] | None:
    user, _, password = (value or "").partition(":")
    if value is not None and not (user and password):
        raise click.BadParameter("must be USER:PASSWORD")
    return (user, password) if value else None


def _from_file(
    context: click.Context, parameter: click.Parameter, value: Path | None
) -> tuple[str, str] | None:
    if value is None:
        return None
    try:
        text = value.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError:
        text = ""
    try:
        return _user_and_password(context, parameter, text)
    except click.BadParameter as error:
        raise click.BadParameter(f"{value} must hold USER:PASSWORD, and nothing else") from error


@click.command()
@click.option(
    "--models",
    "folders",
    type=click.Path(file_okay=False, path_type=Path),
    multiple=True,
    help="Folder with models; may be given several times.  [default: $DISTILL_MODELS_DIR, else "
    "the Distill app's, else ./data/models]",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT_OUTPUT,
    show_default=True,
    help="Folder that takes are exported to.",
)
@click.option(
    "--recordings",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    multiple=True,
    help="Folder with recordings that can be chosen to train on, or with such folders; may be "
    "given several times.",
)
@click.option(
    "--autosave/--no-autosave",
    default=True,
    show_default=True,
    help="Save every take below --output; 'distill-prior takes' lists them.",
)
@click.option(
    "--autosave-size",
    type=click.FloatRange(min=0, min_open=True),
    default=TAKES_BYTES / 1e9,
    show_default=True,
    metavar="GB",
    help="Size of the takes that are saved. The oldest go first; starred ones stay, and do not "
    "count.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on.  [default: first free one from 7860]")
@click.option(
    "--auth",
    callback=_user_and_password,
    metavar="USER:PASSWORD",
    envvar="DISTILL_PRIOR_AUTH",
    help="Ask for this user and password. Other users of this machine can see the options of a "
    "command, but not $DISTILL_PRIOR_AUTH or the file of --auth-file.",
)
@click.option(
    "--auth-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    callback=_from_file,
    help="File with USER:PASSWORD.",
)
@click.option("--share", is_flag=True, help="Make the page public through Gradio's servers.")
@options.device
@click.option("--open/--no-open", "open_", default=True, help="Open the page in a browser.")
def ui(
    folders: tuple[Path, ...],
    output: Path,
    recordings: tuple[Path, ...],
    autosave: bool,
    autosave_size: float,
    host: str,
    port: int | None,
    auth: tuple[str, str] | None,
    auth_file: tuple[str, str] | None,
    share: bool,
    device: str,
    open_: bool,
) -> None:
    """Serve the tabs Prior and Train model to a browser."""
    from distill_prior_gen.ui.hosts import is_local
    from distill_prior_gen.ui.server import serve

    auth = auth_file or auth
    if not is_local(host, share) and not auth:
        click.echo(
            f"Anyone who reaches {'the public address' if share else host} can use this page; it "
            "has no password. --auth-file FILE sets one.",
            err=True,
        )
    context = TabContext(
        models_dirs=folders or (_models_folder(),),
        output_dir=output,
        device=device,
        recordings_dirs=recordings,
        takes_bytes=round(autosave_size * 1e9) if autosave else 0,
    )
    serve(context, host, port, auth, share, open_)


def _models_folder() -> Path:
    """Where models are, if nobody says."""
    if folder := os.environ.get("DISTILL_MODELS_DIR"):
        return Path(folder)
    try:
        settings = import_module("distill.config.settings")
        return Path(settings.resolve_path(settings.load_config()["paths"]["models"]))
    except (ImportError, AttributeError, LookupError, TypeError, ValueError, OSError):
        return Path("data/models")
