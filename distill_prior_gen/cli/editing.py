"""What the commands that edit takes have in common."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distill_prior_gen.cli import options
from distill_prior_gen.cli.former_takes import FormerTake
from distill_prior_gen.cli.running import (
    check_registered,
    create_config,
    make_takes,
)
from distill_prior_gen.cli.training_options import Decorator
from distill_prior_gen.cli.writing import Writing, output, writing_options
from distill_prior_gen.config import GenerationConfig, Progress, partial_progress

if TYPE_CHECKING:
    from distill_prior_gen.model import PriorModel
    from distill_prior_gen.result import GenerationResult

    Edit = Callable[[PriorModel, GenerationResult, GenerationConfig, Progress], GenerationResult]

LEVELS = {"structure": 0, "timbre": 1, "detail": 2}


def take_argument(name: str, metavar: str = "TAKE.wav.json|SOUND") -> Decorator:
    """An argument that is a take or a recording."""
    return click.argument(name, metavar=metavar, type=click.Path(path_type=Path))


class Pair(click.ParamType):  # type: ignore[type-arg]
    """Two numbers, ``A:B``."""

    name = "a:b"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        try:
            start, end = (float(part) for part in value.split(":"))
        except ValueError:
            self.fail(f"{value!r} is not A:B, such as 2.0:4.5", param, ctx)
        return start, end


class Levels(click.ParamType):  # type: ignore[type-arg]
    """Names or numbers of levels with commas between them."""

    name = "levels"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        try:
            return tuple(LEVELS[n] if n in LEVELS else int(n) for n in value.split(","))
        except ValueError:
            names = ", ".join(LEVELS)
            self.fail(f"{value!r} is not a list of {names} or numbers", param, ctx)


def levels_option(what: str) -> Decorator:
    """``--levels``, with what happens to them in a word."""
    return click.option(
        "--levels",
        type=Levels(),
        metavar="LEVEL[,LEVEL...]",
        help=f"{what} only these levels: structure, timbre, detail, or their numbers from 0.",
    )


@dataclass(frozen=True)
class EditRequest:
    """Options that the commands share; see there."""

    writing: Writing
    model: Path | None
    count: int
    settings: dict[str, Any]

    def make(self, path: Path, edit: Edit) -> None:
        """Edit a take as often as was asked for, and write the results.

        Args:
            path: the take or the recording.
            edit: function from the model, the take, the settings and a progress callback to the
                edited take. The seed of the settings rises by 1 from call to call.
        """
        from distill_prior_gen.sampling.random_streams import new_seed

        former = FormerTake.find(path, self.model)
        seed: dict[str, Any] = {"seed": new_seed()}
        given = former.settings(seed | options.explicit_settings(self.settings))
        try:
            config = create_config(given)
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        check_registered(config)
        destination = self.writing.destination(former.sidecar)

        def make(model: PriorModel, report: Progress) -> Iterator[GenerationResult]:
            from distill_prior_gen.export.opening import open_take

            recording = {} if former.sidecar else given
            steps = self.count + 1
            take = open_take(model, path, partial_progress(report, 0.0, 1 / steps), **recording)
            assert config.seed is not None
            for number in range(self.count):
                stage = partial_progress(report, (number + 1) / steps, (number + 2) / steps)
                yield edit(model, take, replace(config, seed=config.seed + number), stage)

        make_takes(former.model, make, self.count, destination, self.writing, [], former.sidecar)


def edit_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of an `EditRequest`, which the command gets as its first argument."""
    names = {"preset", *(name.replace("-", "_") for name in options.EDITING)}

    @functools.wraps(command)
    def with_request(writing: Writing, model: Path | None, count: int, **given: Any) -> None:
        settings = {name: given.pop(name) for name in names}
        command(EditRequest(writing, model, count, settings), **given)

    decorators: list[Decorator] = [
        output,
        options.edited_model,
        options.take(show_default=False, names=options.EDITING),
        click.option(
            "-n",
            "--count",
            type=click.IntRange(min=1),
            default=1,
            show_default=True,
            help="Number of alternatives, with the seeds SEED, SEED + 1 and so on.",
        ),
        writing_options,
    ]
    decorated: Callable[..., None] = with_request
    for decorator in reversed(decorators):
        decorated = decorator(decorated)
    return decorated
