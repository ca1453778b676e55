"""What `train` goes on with: a training that was stopped, or an existing model."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distill_prior_gen.cli import options
from distill_prior_gen.cli.training_report import print_note
from distill_prior_gen.messages import in_words

if TYPE_CHECKING:
    from distill_prior_gen.training.data import Dataset
    from distill_prior_gen.training.extending import Change, FormerModel, Memory
    from distill_prior_gen.training.resuming import TrainingState

ANEW = "begin anew with --force instead of --resume"


def find_state(output: Path, resume: bool, force: bool, quiet: bool) -> TrainingState | None:
    """The state of a training that is to go on, or None for a new one.

    Raises:
        FileNotFoundError: if there is nothing to go on with.
        FileExistsError: if there is, but that was not wanted.
    """
    from distill_prior_gen.training.resuming import checkpoint_path, read_state

    path = checkpoint_path(output)
    if resume:
        if not os.path.lexists(path):
            raise FileNotFoundError(
                f"there is no {path} to go on with; leave out --resume to begin a training"
            )
        return read_state(path)
    if os.path.lexists(path):
        if not force:
            raise FileExistsError(
                f"{path} is of a training that was not finished; add --resume to go on with it, "
                "or --force to begin anew"
            )
        print_note(f"{path}, of a training that was not finished, is replaced", quiet)
    return None


def resumed_options(ctx: click.Context, given: dict[str, Any], state: TrainingState) -> Any:
    """The options of a training that goes on, which those that are given must not contradict.

    Raises:
        click.UsageError: if they do.
        ValueError: if the checkpoint does not tell all options.
    """
    before = state.options
    if not before.keys() >= given.keys():
        raise ValueError(f"{state.path} is from another version of distill-prior-gen; {ANEW}")
    for parameter in ctx.command.params:
        name = parameter.name or ""
        if name in given and options.is_given(name) and given[name] != before[name]:
            flag = max(parameter.opts, key=len)
            was = "not given" if before[name] in (None, False) else before[name]
            raise click.UsageError(
                f"{flag} is {given[name]}, but was {was} when the training began; leave it out, "
                f"or {ANEW}"
            )
    return before


def check_recordings(state: TrainingState, digests: dict[str, str], folder: Path) -> None:
    """Check that the recordings are those that a training began with.

    Raises:
        ValueError: if they are not; it names those that changed.
    """
    if changed := state.changed_recordings(digests):
        raise ValueError(
            f"the recordings in {folder} are not those that the training began with: "
            f"{', '.join(changed)}; put them back, or {ANEW}"
        )


def read_former_model(path: Path, output: Path) -> FormerModel:
    """The model that ``--from`` names.

    Raises:
        ModelFileError: if it cannot be used.
        ValueError: if it is the file that is to be written.
    """
    from distill_prior_gen.checkpoint import read_checkpoint
    from distill_prior_gen.training.extending import FormerModel

    if os.path.realpath(path) == os.path.realpath(output):
        raise ValueError(f"--from and --output are both {path}; choose another name for --output")
    return FormerModel(read_checkpoint(path))


def check_sizes(ctx: click.Context, given: dict[str, Any], former: FormerModel) -> None:
    """Check that the options do not contradict the sizes of the model that is trained further.

    Raises:
        click.UsageError: if they do.
    """
    sizes = {f"{s}_{name}": n for s, table in former.sizes.items() for name, n in table.items()}
    for parameter in ctx.command.params:
        size = sizes.get(parameter.name or "")
        value = given.get(parameter.name or "")
        if size is not None and value not in (None, size):
            flag, path = max(parameter.opts, key=len), former.checkpoint.path
            raise click.UsageError(
                f"{flag} is {value}, but {path} has {size}; leave it out, or train without --from"
            )


def resume_command(folder: Path, output: Path, force: bool) -> str:
    """The command that goes on with a training."""
    command = ["distill-prior", "train", str(folder), "-o", str(output), "--resume"]
    return shlex.join([*command, *(["--force"] if force else [])])


def resume_notes(state: TrainingState | None, command: str) -> list[str]:
    """A line about how a training that was stopped can go on, if it can."""
    if state is None or not state.path.exists():
        return []
    return [f"{state.path} is kept; '{command}' goes on with the training"]


@contextmanager
def explained_resuming(state: TrainingState, command: str) -> Iterator[None]:
    """Add to the message that memory or disk are full how the training can go on."""
    try:
        yield
    except (MemoryError, OSError) as error:
        if not state.path.exists():
            raise
        if isinstance(error, OSError):
            text = f"{in_words(error)}; make room, and go on with '{command}'"
            raise OSError(text) from error
        raise MemoryError(
            f"{error}; or close other programs, and go on with '{command}'"
        ) from error


def shown_command(
    ctx: click.Context, folder: Path, output: Path, given: dict[str, Any], dataset: Dataset
) -> str:
    """The command of a training without the folders of its files, for the model's card."""
    command = ["distill-prior", "train", dataset.name or folder.name, "-o", output.name]
    for parameter in ctx.command.params:
        value = given.get(parameter.name or "")
        if value is None or value is False or value == parameter.default:
            continue
        flag = max(parameter.opts, key=len)
        shown = Path(value).name if parameter.name == "source" else str(value)
        command += [flag] if value is True else [flag, shown]
    return shlex.join(command)


def memory_notes(memory: Memory, former: Path) -> list[str]:
    """Lines about what a model that was trained further remembers."""

    def errors(change: Change) -> str:
        return f"mel error {change.before:.3f} before, {change.after:.3f} after"

    notes = []
    if memory.old:
        count = f"{memory.old.recordings} of the {memory.recordings} recordings of {former}"
        notes.append(f"{count} are in the folder: {errors(memory.old)}")
    elif memory.recordings:
        notes.append(
            f"none of the {memory.recordings} recordings of {former} is in the folder; what is "
            "forgotten of them was not measured"
        )
    else:
        notes.append(
            f"{former} does not tell its recordings; what is forgotten of them was not measured"
        )
    if memory.new:
        notes.append(f"{memory.new.recordings} recordings are new: {errors(memory.new)}")
    return notes


def memory_result(memory: Memory) -> dict[str, Any]:
    """Description of the same for ``--json``."""
    return {
        "recordings": memory.recordings,
        "old": memory.old._asdict() if memory.old else None,
        "new": memory.new._asdict() if memory.new else None,
    }
