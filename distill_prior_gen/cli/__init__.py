"""The ``distill-prior`` command. Heavy imports happen inside the commands."""

from __future__ import annotations

import traceback
from typing import Any

import click

from distill_prior_gen import __version__
from distill_prior_gen.plugins import commands

INTERRUPTED = 130


class ReportingGroup(click.Group):
    """Ends every failure of a command with one line on standard error and its exit code."""

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        debug = click.Option(
            ["--debug"],
            is_flag=True,
            expose_value=False,
            callback=lambda ctx, param, value: ctx.meta.update(debug=value),
            help="Show the traceback of an error.",
        )
        cmd.params.append(debug)
        super().add_command(cmd, name)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(INTERRUPTED)
        except Exception as error:
            if ctx.meta.get("debug"):
                traceback.print_exc()
            raise click.ClickException(_one_line(error)) from error


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    message = " ".join(str(error).split())
    expected = (ValueError, ArithmeticError, ImportError, MemoryError, OSError)
    return message if isinstance(error, expected) else f"{type(error).__name__}: {message}"


@click.group(cls=ReportingGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="distill-prior")
def cli() -> None:
    """Generate new sound from the models that Distill trains on a folder of recordings."""


for command in commands():
    cli.add_command(command)
