"""``distill-prior encode``: write the codes of a take or a recording to a file."""

from __future__ import annotations

from pathlib import Path

import click

from distill_prior_gen.cli import options
from distill_prior_gen.cli.editing import take_argument
from distill_prior_gen.cli.former_takes import FormerTake


@click.command()
@take_argument("take")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write.  [default: the name of the take with .npz, in the current folder]",
)
@options.edited_model
@options.device
@options.force
def encode(take: Path, output: Path | None, model: Path | None, device: str, force: bool) -> None:
    """Write the codes of a take or a recording to a file.

    The file is NumPy's .npz with 'codes', int64 [row, column, level], rows from low to high
    frequencies. 'distill-prior decode' makes sound of it.
    """
    former = FormerTake.find(take, model)
    name = take.name.removesuffix(".json")
    path = output or Path(Path(name).with_suffix(".npz").name)
    if path.suffix != ".npz":
        raise click.UsageError(f"--output must end in .npz, not {path.name}")
    if path.exists() and not force:
        raise FileExistsError(f"{path} exists; choose another name or add --force")
    from distill_prior_gen.export.code_files import write_codes
    from distill_prior_gen.export.opening import open_take
    from distill_prior_gen.model import load_model

    loaded = load_model(former.model, device)
    write_codes(loaded, open_take(loaded, take), path, force)
    click.echo(str(path))
