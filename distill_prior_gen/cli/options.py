"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from distill_prior_gen.cli.preset_option import preset
from distill_prior_gen.config import (
    DESCRIPTORS,
    GENERATION_LIMITS,
    JOINS,
    QUALITIES,
    GenerationConfig,
)


class FloatPerLevel(click.FloatRange):
    """A number, or one for each level of the codes: ``1.0,0.8,0.6``."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        return _each(super().convert, value, param, ctx)


class IntPerLevel(click.IntRange):
    """A whole number, or one for each level of the codes: ``5,10,0``."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        return _each(super().convert, value, param, ctx)


def _each(
    convert: Callable[..., Any], value: Any, param: Any, ctx: Any, separator: str = ","
) -> tuple[Any, ...]:
    parts = value.split(separator) if isinstance(value, str) else [value]
    return tuple(convert(part, param, ctx) for part in parts)


class Evolution(click.ParamType):  # type: ignore[type-arg]
    """Two temperatures, ``START:END``."""

    name = "start:end"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[Any, Any]:
        start, colon, end = value.partition(":")
        if not colon:
            self.fail(f"{value!r} is not START:END, such as 0.7:1.3", param, ctx)
        temperature = FloatPerLevel(*GENERATION_LIMITS["temperature"])
        return temperature.convert(start, param, ctx), temperature.convert(end, param, ctx)


class Course(click.FloatRange):
    """A number, or two between which a setting moves over the take: ``0.2:0.9``."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        numbers = _each(super().convert, value, param, ctx, ":")
        if len(numbers) > 2:
            self.fail(f"{value!r} is not X or X:Y, such as 0.7 or 0.2:0.9", param, ctx)
        return numbers if len(numbers) > 1 else numbers[0]


def _course(name: str, text: str) -> dict[str, Any]:
    """The option for a field of `DESCRIPTORS`."""
    return {
        "type": Course(*GENERATION_LIMITS[name]),
        "metavar": "X[:Y]",
        "help": f"With 'timeline': {text}; from 0 to 1 over what the recordings have. X:Y moves "
        "from X to Y over the take.",
    }


INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended."""

NUMBER_A_LEVEL = "X[,X...]"

TAKE: dict[str, dict[str, Any]] = {
    "--temperature -t": {
        "type": FloatPerLevel(*GENERATION_LIMITS["temperature"]),
        "metavar": NUMBER_A_LEVEL,
        "help": "Below 1, codes are more typical; above 1, more surprising. One value, or one for "
        "each level: structure, timbre, detail.",
    },
    "--evolve": {
        "type": Evolution(),
        "metavar": "START:END",
        "help": "Move the temperature from START to END over the take.",
    },
    "--top-p": {
        "type": FloatPerLevel(*GENERATION_LIMITS["top_p"]),
        "metavar": NUMBER_A_LEVEL,
        "help": "Draw from the most likely codes whose probabilities add up to this fraction; "
        "0 is off.",
    },
    "--top-k": {
        "type": IntPerLevel(*GENERATION_LIMITS["top_k"]),
        "metavar": NUMBER_A_LEVEL,
        "help": "Draw from this number of the most likely codes; 0 is off.",
    },
    "--min-p": {
        "type": click.FloatRange(*GENERATION_LIMITS["min_p"]),
        "help": "Keep codes whose probability is at least this fraction of the largest; 0 is off.",
    },
    "--duration -d": {
        "type": click.FloatRange(min=GENERATION_LIMITS["duration"][0]),
        "help": f"Length in seconds, up to {GENERATION_LIMITS['duration'][1]:g}.",
    },
    "--allow-long": {"is_flag": True, "help": "Lift the maximum of --duration."},
    "--loop": {"is_flag": True, "help": "Make the end lead into the beginning."},
    "--prompt": {
        "metavar": "FILE",
        "help": "Start from this recording. Its last second with sound is heard; 'timeline' also "
        "knows what was before.",
    },
    "--prompt-crossfade": {
        "is_flag": True,
        "help": "Begin with the recording itself instead of the model's reconstruction.",
    },
    "--vary": {
        "type": click.FloatRange(*GENERATION_LIMITS["vary"]),
        "help": "Instead of continuing the prompt, draw this fraction of its codes again; 0 is the "
        "model's reconstruction.",
    },
    "--sampler": {
        "metavar": "NAME",
        "help": "Method to draw codes: 'timeline' remembers seconds of the take, with 'continue' "
        "each second follows from the one before, with 'independent' it does not; 'auto' is the "
        "first of these that MODEL has. 'distill-prior plugins' lists samplers and vocoders.",
    },
    "--wander": {
        "type": click.FloatRange(*GENERATION_LIMITS["wander"]),
        "help": "With 'timeline': how often the take turns to the manner of another recording; 0 "
        "is never, 1 as the recordings tell.",
    },
    "--like": {
        "metavar": "RECORDING",
        "help": "With 'timeline': begin in the manner of this recording of the training; "
        "'distill-prior info MODEL' lists them.",
    },
    "--loud": _course("loud", "how loud"),
    "--bright": _course("bright", "how bright"),
    "--noisy": _course("noisy", "how noisy rather than tonal"),
    "--dense": _course("dense", "how many onsets"),
    "--context-columns": {
        "type": click.IntRange(*GENERATION_LIMITS["context_columns"]),
        "help": "With 'continue': number of columns of codes that a chunk shares with the one "
        "before.",
    },
    "--overlap": {
        "type": click.FloatRange(*GENERATION_LIMITS["overlap"]),
        "help": "Crossfade between independent chunks, in milliseconds.",
    },
    "--join": {
        "type": click.Choice(JOINS),
        "help": "Join independent chunks as spectra, with a continuous phase, or crossfade their "
        "waveforms.",
    },
    "--vocoder": {"metavar": "NAME", "help": "Method to turn spectra into sound."},
    "--quality": {
        "type": click.Choice(QUALITIES),
        "help": "Quality of the vocoder; a better one takes longer.",
    },
    "--width": {
        "type": click.FloatRange(*GENERATION_LIMITS["width"]),
        "help": "How much left and right differ, at high frequencies more than at low ones; 0 is "
        "mono. The mono sum stays as it is.",
    },
    "--seed -s": {
        "type": click.IntRange(*GENERATION_LIMITS["seed"]),
        "help": "The same seed gives the same take.",
    },
}
"""Options for the fields of `GenerationConfig`."""


EDITING = (
    *("temperature", "top-p", "top-k", "min-p", "sampler", "wander", *DESCRIPTORS),
    *("vocoder", "quality", "seed"),
)
"""Those of `TAKE` that count for a part of a take."""


def take(show_default: bool, names: Collection[str] = ()) -> Callable[[Any], Any]:
    """The options of `TAKE`, or some of them; `explicit_settings` tells which were given."""
    defaults = {field.name: field.default for field in fields(GenerationConfig)}

    def decorate(command: Any) -> Any:
        for flags, settings in reversed(TAKE.items()):
            name, *short = flags.split()
            if names and name[2:] not in names:
                continue
            default = defaults.get(name[2:].replace("-", "_"))
            shown = show_default and default is not None and not settings.get("is_flag")
            option = click.option(
                *short,
                name,
                default=default if show_default else None,
                show_default=shown,
                **settings,
            )
            command = option(command)
        return preset(command)

    return decorate


def is_given(name: str) -> bool:
    """Whether a parameter of the running command was given, in whatever way."""
    source = click.get_current_context().get_parameter_source(name)
    return source not in (None, ParameterSource.DEFAULT)


def explicit_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """The fields of `GenerationConfig` whose options were given, or that the preset has.

    A preset outdoes what environment and configuration file say.

    Args:
        settings: values of the options of `take`.

    Raises:
        click.UsageError: if they contradict each other.
    """
    values = {name: value for name, value in settings.items() if is_given(name)}
    chosen = values.pop("preset", {})
    known = settings.keys() | ({"temperature_end"} if "evolve" in settings else set())
    source = click.get_current_context().get_parameter_source
    on_line = {name for name in values if source(name) is ParameterSource.COMMANDLINE}
    if on_line & {"temperature", "evolve"}:
        on_line |= {"temperature", "temperature_end"}
    elif chosen.keys() & {"temperature", "temperature_end"}:
        values = {k: v for k, v in values.items() if k not in ("temperature", "evolve")}
    if "evolve" in values:
        if "temperature" in values:
            raise click.UsageError("give --temperature or --evolve, not both")
        values["temperature"], values["temperature_end"] = values.pop("evolve")
    return values | {k: v for k, v in chosen.items() if k in known and k not in on_line}


temperature = click.option(
    "-t",
    "--temperature",
    type=click.FloatRange(*GENERATION_LIMITS["temperature"]),
    default=GenerationConfig.temperature,
    show_default=True,
    help="Below 1, codes are more typical; above 1, more surprising.",
)

edited_model = click.option(
    "-m",
    "--model",
    type=click.Path(path_type=Path),
    help="Model to use.  [default: that of the take; for a recording, the demo model]",
)

force = click.option("--force", is_flag=True, help="Overwrite existing files.")

as_json = click.option(
    "--json", "as_json", is_flag=True, help="Print a JSON description of the takes."
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

quiet = click.option("-q", "--quiet", is_flag=True, help="Print only errors and results.")
