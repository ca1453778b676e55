"""Options of the commands that train."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from distill_prior_gen.training.settings import TRAINING_LIMITS

VQVAE_OPTIONS = {
    "codebook_size": "Number of codes of each level.",
    "levels": "Number of levels of the residual quantizer.",
    "codebook_dim": "Length of a code's vector.",
    "dropout": "Fraction of the channels dropped in training.",
    "decay": "Decay of the moving averages that the codes follow.",
    "epochs": "Number of passes over the recordings.",
    "batch_size": "Number of chunks of a training step.",
    "learning_rate": "Peak of the learning rate.",
    "weight_decay": "Weight decay.",
}

PRIOR_OPTIONS = {
    "hidden_size": "Width of the prior.",
    "layers": "Number of layers of the prior.",
    "heads": "Number of attention heads of the prior.",
    "dropout": "Fraction of the prior's activations dropped in training.",
    "epochs": "Largest number of passes over the recordings for the prior.",
    "batch_size": "Number of chunks of a training step for the prior.",
    "learning_rate": "Peak of the learning rate of the prior.",
    "weight_decay": "Weight decay of the prior.",
    "patience": "Epochs without a better prior before training stops.",
}

TIMELINE_OPTIONS = {
    "width": "Width of the network, at most.",
    "layers": "Number of layers over columns of codes.",
    "column_layers": "Number of layers within a column.",
    "memory": "Number of earlier columns that a layer looks back at.",
    "dropout": "Fraction of the activations dropped in training.",
    "epochs": "Number of epochs of 25 steps for the timeline prior.",
    "batch_size": "Number of windows of a training step.",
    "learning_rate": "Peak of the learning rate.",
    "weight_decay": "Weight decay.",
}

VOCODER_OPTIONS = {
    "width": "Width of the vocoder, at most.",
    "blocks": "Number of blocks of the vocoder.",
    "epochs": "Largest number of epochs for the vocoder.",
    "batch_size": "Number of segments of a training step for the vocoder.",
    "learning_rate": "Peak of the learning rate of the vocoder.",
    "weight_decay": "Weight decay of the vocoder.",
    "patience": "Epochs in which the vocoder may get worse on held-out recordings.",
}

Decorator = Callable[[Callable[..., None]], Callable[..., None]]


def setting_options(helps: dict[str, str], prefix: str = "", prefixed: str = "") -> Decorator:
    """Decorator that adds an option for each setting to a command.

    The command gets each value as the parameter ``prefix + name``, or None if it is not given.

    Args:
        helps: help text of each setting.
        prefix: prefix of the parameter names, which tells the settings of two networks apart.
        prefixed: names of the settings whose flags get the prefix as well, separated by spaces.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for name, text in reversed(helps.items()):
            low, high = TRAINING_LIMITS[name]
            kind = click.FloatRange if isinstance(low, float) else click.IntRange
            flag = (prefix + name if name in prefixed.split() else name).replace("_", "-")
            command = click.option(f"--{flag}", prefix + name, type=kind(low, high), help=text)(
                command
            )
        return command

    return decorate


def seed_option(trained: str) -> Decorator:
    """The option ``--seed`` of a command that trains, for example, a "model"."""
    return click.option(
        "-s",
        "--seed",
        type=click.IntRange(*TRAINING_LIMITS["seed"]),
        default=0,
        show_default=True,
        help=f"The same seed gives the same {trained} on the same machine.",
    )


def continuing_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options ``--from``, ``--resume``, ``--preview-every`` and ``--status``."""
    path = click.Path(dir_okay=False)
    decorators = [
        click.option(
            "--from",
            "source",
            type=path,
            metavar="MODEL",
            help="Begin with the networks of this model instead of new ones.",
        ),
        click.option("--resume", is_flag=True, help="Go on with a training that was stopped."),
        click.option(
            "--preview-every",
            type=click.IntRange(1),
            metavar="N",
            help="Write a preview after every N epochs to the folder NAME-previews.",
        ),
        click.option(
            "--status",
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE",
            help="Write how the training goes to this JSON file, again and again.",
        ),
    ]
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


def timeline_stage_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options ``--timeline-epochs`` and ``--no-timeline``."""
    without = click.option("--no-timeline", is_flag=True, help="Do not train a timeline prior.")
    epochs = {"epochs": TIMELINE_OPTIONS["epochs"]}
    return setting_options(epochs, "timeline_", "epochs")(without(command))
