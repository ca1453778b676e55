"""The option ``--preset``."""

from __future__ import annotations

from typing import Any

import click
from click.shell_completion import CompletionItem

from distill_prior_gen.messages import in_words
from distill_prior_gen.store.presets import list_presets, read_preset


class Preset(click.ParamType):  # type: ignore[type-arg]
    """The name of a preset; the value is its settings."""

    name = "name"

    def convert(self, value: Any, param: Any, ctx: Any) -> dict[str, Any]:
        if isinstance(value, dict):  # converted before
            return value
        try:
            return read_preset(value)
        except (OSError, ValueError) as error:
            self.fail(in_words(error), param, ctx)

    def shell_complete(self, ctx: Any, param: Any, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in list_presets() if name.startswith(incomplete)]


preset = click.option(
    "--preset",
    type=Preset(),
    metavar="NAME",
    help="Settings that were saved with 'distill-prior preset save' or in the tab. Options on the "
    "command line outdo them.",
)
