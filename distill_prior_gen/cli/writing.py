"""Options of the commands that write takes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import click

from distill_prior_gen.cli import options
from distill_prior_gen.cli.destination import Destination, resolve_format
from distill_prior_gen.cli.progress import shows_progress
from distill_prior_gen.formats import (
    FORMATS,
    LOUDNESS_LIMITS,
    SAMPLE_RATES,
    TRUE_PEAK_DB,
    ExportConfig,
)

if TYPE_CHECKING:
    from distill_prior_gen.export.sidecar import Sidecar


def _no_standard_output(ctx: Any, param: Any, value: str) -> str:
    if value == "-":
        raise click.BadParameter("takes are not written to standard output; name a file or folder")
    return value


output = click.option(
    "-o",
    "--output",
    type=click.Path(),
    callback=_no_standard_output,
    default=".",
    help="File to write (its suffix sets the format), or folder for files named after model "
    "and seed.  [default: the current folder]",
)

format_ = click.option(
    "-f",
    "--format",
    "format_",
    type=click.Choice(list(FORMATS)),
    help="Audio file format.  [default: wav, or the suffix of --output]",
)

sample_rate = click.option(
    "--sample-rate",
    type=int,
    metavar="|".join(map(str, SAMPLE_RATES)),
    help="Resample to this rate in Hz.  [default: the model's]",
)

bit_depth = click.option(
    "--bit-depth",
    type=int,
    metavar="16|24|32",
    help="Bits per sample for wav and flac; 32 is floating point, for wav only.  [default: 24]",
)

loudness = click.option(
    "--loudness",
    type=click.FloatRange(*LOUDNESS_LIMITS),
    metavar="LUFS",
    help="Loudness of the file (ITU-R BS.1770), such as -16; less where peaks would exceed "
    f"{TRUE_PEAK_DB:g} dBTP.  [default: that of the take]",
)

markers = click.option(
    "--markers",
    is_flag=True,
    help="Put markers at the borders of chunks and of edited parts, for wav only.",
)


@dataclass(frozen=True)
class Writing:
    """How takes are made and written; its fields are options of the commands."""

    output: str
    format_: str | None
    sample_rate: int | None
    bit_depth: int | None
    loudness: float | None
    markers: bool
    device: str
    force: bool
    as_json: bool
    progress: bool | None
    quiet: bool

    @property
    def shows_progress(self) -> bool:
        """Whether a progress bar is shown."""
        return shows_progress(self.progress, self.quiet)

    def destination(self, former: Sidecar | None = None) -> Destination:
        """Where takes are written to.

        Args:
            former: sidecar of a take whose format counts where nothing else was asked for.

        Raises:
            click.UsageError: if options contradict each other.
        """
        sample_rate, bit_depth, loudness = self.sample_rate, self.bit_depth, self.loudness
        try:
            default = former.format if former else ExportConfig.format
            chosen = resolve_format(self.output, self.format_, default)
            if former:
                if sample_rate is None and former.sample_rate in SAMPLE_RATES:
                    sample_rate = former.sample_rate
                if bit_depth is None and chosen == former.format:
                    bit_depth = former.bit_depth
                loudness = former.loudness if loudness is None else loudness
            export = ExportConfig(chosen, sample_rate, bit_depth, loudness, self.markers)
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        return Destination(self.output, export, self.force)


def writing_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of `Writing` but ``--output``; the command gets it as its first argument."""
    decorators = [
        format_,
        sample_rate,
        bit_depth,
        loudness,
        markers,
        options.device,
        options.force,
        options.as_json,
        options.progress,
        options.quiet,
    ]

    @functools.wraps(command)
    def with_writing(**given: Any) -> None:
        writing = Writing(**{field.name: given.pop(field.name) for field in fields(Writing)})
        command(writing, **given)

    decorated: Callable[..., None] = with_writing
    for decorator in reversed(decorators):
        decorated = decorator(decorated)
    return decorated
