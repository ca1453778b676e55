"""The ``distill-prior`` command. Heavy imports happen inside the commands."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from distill_prior_gen.cli.configuration import CONFIG_VARIABLE, read_defaults
from distill_prior_gen.cli.options import INTERRUPTED
from distill_prior_gen.messages import in_words
from distill_prior_gen.plugins import commands
from distill_prior_gen.version import APP_NAME, __version__


class ReportingGroup(click.Group):
    """Ends every failure of a command with one line on standard error and its exit code."""

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        if not any(parameter.name == "debug" for parameter in cmd.params):
            debug = click.Option(
                ["--debug"],
                is_flag=True,
                expose_value=False,
                callback=lambda ctx, param, value: ctx.meta.update(debug=value),
                help="Show the traceback of an error.",
            )
            cmd.params.append(debug)
        super().add_command(cmd, name)

    def main(self, *args: Any, **extra: Any) -> Any:
        _open_standard_streams()
        return super().main(*args, **extra)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        if not extra.get("resilient_parsing"):  # while a shell completes a command
            extra.setdefault("default_map", read_defaults(self))
        return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _signals_interrupt():
                return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(INTERRUPTED)
        except (Exception, SystemExit) as error:
            if ctx.meta.get("debug"):
                traceback.print_exc()
            raise click.ClickException(in_words(error)) from error


def _open_standard_streams() -> None:
    """Make sure that all three streams can be used, whatever they are connected to.

    A closed one is opened on the null device, since the next file that is opened would get its
    number. Characters that an output cannot encode are written as escapes.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if number == 0 else "w"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Let SIGTERM and SIGHUP act like Ctrl-C while a command runs, unless they are ignored."""
    handled = {}
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                handled[number] = signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in handled.items():
            signal.signal(number, handler)


@click.group(
    cls=ReportingGroup,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "auto_envvar_prefix": "DISTILL_PRIOR",
    },
    epilog="Options have defaults in environment variables such as DISTILL_PRIOR_SAMPLE_DURATION, "
    f"and in {APP_NAME}/config.toml in the user's configuration folder or ${CONFIG_VARIABLE}, "
    "where [sample] has lines such as duration = 20.",
)
@click.version_option(__version__, prog_name="distill-prior")
def cli() -> None:
    """Generate new sound from the models that Distill trains on a folder of recordings."""


for name, command in commands().items():
    cli.add_command(command, name)
