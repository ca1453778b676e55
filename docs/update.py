"""Write the generated parts of the documentation.

python docs/update.py            writes the parts that are outdated
python docs/update.py --check    names them instead, and exits with 1 if there are any

The generated parts are

- the help texts of the commands,
- the output of the commands in ``console`` blocks,
- the column "range" in tables of options, and
- the tables between ``<!-- generated: NAME -->`` and ``<!-- end -->``.

Measurements are not among them: figures.py, coherence.py, busy.py and
``distill-prior benchmark`` make those.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import torch
from click.testing import CliRunner

from distill_prior_gen import PriorSettings, TimelineSettings, VocoderSettings, VQVAESettings
from distill_prior_gen.cli import cli
from distill_prior_gen.demo import demo_model

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

HELP = re.compile(
    r"(?<=^```text\n)Usage: distill-prior ([\w-]+(?: [a-z]+)*) .*?(?=^```$)", re.M | re.S
)
CONSOLE = re.compile(r"(?<=^```console\n)\$ distill-prior (.*?)\n(.*?)(?=^```$)", re.M | re.S)
RANGE = re.compile(r"^\| `(--[\w-]+)` \| [\d.]+\u2013[\d.]+ \([\d.]+\)", re.M)
TABLE = re.compile(r"^<!-- generated: ([\w-]+) -->\n.*?^<!-- end -->$", re.M | re.S)
TIMING = re.compile(r'"(load|sample|decode|invert)": [0-9.e-]+')


def with_help(text: str) -> str:
    """A page with the help texts of its commands, for a terminal of 90 columns."""
    return HELP.sub(lambda shown: _printed([*shown[1].split(), "--help"], terminal_width=90), text)


def with_output(text: str) -> str:
    """A page with what its commands print, apart from timings."""

    def updated(shown: re.Match[str]) -> str:
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            write_models(Path(folder))
            printed = _printed(shlex.split(shown[1]))
        if TIMING.sub(r"\1", printed) == TIMING.sub(r"\1", shown[2]):
            return shown[0]
        return f"$ distill-prior {shown[1]}\n{printed}"

    return CONSOLE.sub(updated, text)


def _printed(arguments: list[str], **extra: Any) -> str:
    result = CliRunner().invoke(cli, arguments, prog_name="distill-prior", **extra)
    if result.exit_code:
        raise RuntimeError(f"distill-prior {shlex.join(arguments)}: {result.stderr}")
    return result.stdout


def write_models(folder: Path) -> None:
    """Write the models of the examples: the demo model, and its VQ-VAE without the prior."""
    shutil.copy(demo_model(), folder / "bells.distill")
    contents = torch.load(demo_model(), weights_only=True)
    contents = {key: value for key, value in contents.items() if "prior" not in key}
    torch.save(contents, folder / "no-prior.distill")


def with_ranges(text: str) -> str:
    """A page whose tables of options have the ranges and defaults of ``distill-prior sample``."""
    options = {name: option for option in cli.commands["sample"].params for name in option.opts}
    return RANGE.sub(lambda shown: f"| `{shown[1]}` | {_range(options[shown[1]])}", text)


def _range(option: click.Parameter) -> str:
    assert isinstance(option.type, click.FloatRange | click.IntRange)
    low, high, default = option.type.min, option.type.max, option.default
    decimals = max(_decimals(low), _decimals(high))
    limits = f"{low:.{decimals}f}\u2013{high:.{decimals}f}"
    return f"{limits} ({default:.{max(decimals, _decimals(default))}f})"


def _decimals(number: Any) -> int:
    return len(f"{number:g}".partition(".")[2])


def training_defaults() -> str:
    """The settings of a training that depend on the number of recordings."""
    first = VQVAESettings.for_files(1)
    few = max(files for files in range(1, 501) if VQVAESettings.for_files(files) == first)
    vqvaes = [VQVAESettings.for_files(files) for files in (few, few + 1)]
    priors = [PriorSettings.for_files(files) for files in (few, few + 1)]
    timelines = [TimelineSettings.for_files(files) for files in (few, few + 1)]
    vocoders = [VocoderSettings.for_files(files) for files in (few, few + 1)]
    rows = [
        ("codes x levels", [f"{vqvae.codebook_size} x {vqvae.levels}" for vqvae in vqvaes]),
        ("VQ-VAE", [f"{vqvae.epochs} epochs" for vqvae in vqvaes]),
        ("prior", [_size(prior) for prior in priors]),
        ("prior, epochs at most", [f"{prior.epochs}" for prior in priors]),
        ("timeline prior", [f"{t.width} wide x {t.layers} layers" for t in timelines]),
        ("timeline prior, epochs", [f"{t.epochs}" for t in timelines]),
        ("vocoder", [f"{v.width} wide x {v.blocks} blocks" for v in vocoders]),
        ("vocoder, epochs at most", [f"{v.epochs}" for v in vocoders]),
    ]
    lines = [f"| default | up to {few} recordings | more |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {' | '.join(cells)} |" for name, cells in rows)])


def _size(prior: PriorSettings) -> str:
    return f"{prior.hidden_size} hidden x {prior.layers} layers, {prior.heads} heads"


TABLES = {"training-defaults": training_defaults}
"""What ``<!-- generated: NAME -->`` may name."""


def with_tables(text: str) -> str:
    """A page with its generated tables."""
    return TABLE.sub(
        lambda shown: f"<!-- generated: {shown[1]} -->\n\n{TABLES[shown[1]]()}\n\n<!-- end -->",
        text,
    )


PARTS: dict[str, Callable[[str], str]] = {
    "help texts": with_help,
    "output of commands": with_output,
    "ranges of options": with_ranges,
    "tables": with_tables,
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write the generated parts of the documentation.")
    parser.add_argument("--check", action="store_true", help="name what is outdated, write nothing")
    check = parser.parse_args(arguments).check
    outdated = False
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for name, update in PARTS.items():
            updated = update(text)
            if updated != text:
                outdated = True
                print(f"{page.relative_to(ROOT)}: {'outdated' if check else 'updated'} {name}")
            text = updated
        if not check:
            page.write_text(text, encoding="utf-8", newline="\n")
    return int(check and outdated)


if __name__ == "__main__":
    sys.exit(main())
