"""Options that several commands have."""

from __future__ import annotations

import click

from distill_prior_gen.config import LIMITS, GenerationConfig

temperature = click.option(
    "-t",
    "--temperature",
    type=click.FloatRange(*LIMITS["temperature"]),
    default=GenerationConfig.temperature,
    show_default=True,
    help="Below 1 more typical, above 1 more surprising.",
)

device = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda", "mps"]),
    default="auto",
    show_default=True,
    help="Where the networks run.",
)

progress = click.option(
    "--progress/--no-progress",
    default=None,
    help="Show progress on standard error.  [default: in a terminal]",
)

quiet = click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors and results.")
