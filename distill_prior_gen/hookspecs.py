"""The hooks that a plugin may implement; see docs/plugins.md.

A plugin is a module (or any object) with functions of these names, marked with
`hookimpl`, that a distribution announces in the entry-point group ``distill``. All
hooks are called with functions or groups to register with; what they return is
ignored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import click

    from distill_prior_gen.plugins import RegisterSampler, RegisterTab, RegisterVocoder

PROJECT = "distill"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def distill_register_commands(cli: click.Group) -> None:
    """Add commands to the ``distill-prior`` command.

    Args:
        cli: a click group; use ``@cli.command()`` or ``cli.add_command(command)``.
    """


@hookspec
def distill_register_tabs(register: RegisterTab) -> None:
    """Add tabs to an app.

    Args:
        register: ``register(identifier, label, build, position=None)``. ``build`` is called
            with a `TabContext` inside the tab and makes its Gradio components; ``position``
            is the place among the tabs, None for the last.
    """


@hookspec
def distill_register_prior_samplers(register: RegisterSampler) -> None:
    """Add ways to draw codes from a prior, for ``--sampler`` and ``GenerationConfig.sampler``.

    Args:
        register: ``register(name, draw, continues=False, at_once=False)``. ``draw(model,
            config, chunks, progress)`` gets a `PriorModel`, a `GenerationConfig`, a list of
            chunks, and ``progress(share, text)``. Each chunk has a ``generator`` of random
            numbers, a ``temperature`` for each level, and ``held``, int64 ``[H * W, levels]``
            with the codes that it must have and -1 where it may have any. `draw` returns codes,
            an int64 tensor ``[chunks, H * W, levels]`` on any device. If `continues`, it is called
            for one chunk of every take after the other, each held to the end of the one before, or
            if `at_once`, once for all chunks, in whose ``repeats`` is told what they have from each
            other; otherwise once for all chunks.
    """


@hookspec
def distill_register_vocoders(register: RegisterVocoder) -> None:
    """Add ways to turn a mel into sound, for ``--vocoder`` and ``GenerationConfig.vocoder``.

    Args:
        register: ``register(name, invert, loops=False)``. ``invert(mel, spectrogram,
            generator, quality, progress)`` gets a log1p mel power spectrogram, float32
            ``[n_mels, frames]``, its `SpectrogramSettings`, a ``numpy.random.Generator``,
            ``"fast"``, ``"normal"`` or ``"best"``, and ``progress(share, text)``; it returns
            float32 samples, ``(frames - 1) * hop_length`` of them. If it can do `loops`,
            it is called with ``loop_samples`` for one: the end of the mel leads into its
            start, its frames lie evenly in so many samples, and it returns these.
    """
