"""``distill-prior ui``: the Prior tab in a browser, without the Distill app."""

from __future__ import annotations

import os
from pathlib import Path

import click


@click.command()
@click.option(
    "--models",
    "folders",
    type=click.Path(file_okay=False, path_type=Path),
    multiple=True,
    help="Folder with models; may be given several times.  "
    "[default: $DISTILL_MODELS_DIR, else ./data/models]",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("data/generated"),
    show_default=True,
    help="Folder that takes are written to.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", type=int, help="Port to listen at.  [default: the first free from 7860]")
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda", "mps"]),
    default="auto",
    show_default=True,
    help="Where the networks run.",
)
@click.option("--open/--no-open", "open_", default=True, help="Open the page in a browser.")
def ui(
    folders: tuple[Path, ...],
    output: Path,
    host: str,
    port: int | None,
    device: str,
    open_: bool,
) -> None:
    """Serve the Prior tab to a browser."""
    from distill_prior_gen.plugins import TabContext
    from distill_prior_gen.ui.app import create_app

    if not folders:
        folders = (Path(os.environ.get("DISTILL_MODELS_DIR", "data/models")),)
    if host not in ("127.0.0.1", "localhost", "::1"):
        click.echo(f"Anyone who reaches {host} can use this page; it has no password.", err=True)
    context = TabContext(models_dirs=folders, output_dir=output, device=device)
    create_app(context).launch(server_name=host, server_port=port, inbrowser=open_)
