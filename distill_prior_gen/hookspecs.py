"""The hooks that a plugin may implement; see docs/plugins.md.

A plugin is a module (or any object) with functions of these names, marked with
`hookimpl`, that a distribution announces in the entry-point group ``distill``. All
hooks are called with functions or groups to register with; what they return is
ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import click

    from distill_prior_gen.audio.vocoders import Vocoder
    from distill_prior_gen.plugins import RegisterTab
    from distill_prior_gen.sampling.autoregressive import PriorSampler

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
def distill_register_prior_samplers(register: Callable[[str, PriorSampler], None]) -> None:
    """Add ways to draw codes from a prior, for ``--sampler`` and ``GenerationConfig.sampler``.

    Args:
        register: ``register(name, sampler)``. ``sampler(model, config, generators, progress)``
            gets a `PriorModel`, a `GenerationConfig`, a list with one
            ``numpy.random.Generator`` a chunk, and ``progress(share, text)``; it returns
            codes, an int64 tensor ``[chunks, H * W, levels]``.
    """


@hookspec
def distill_register_vocoders(register: Callable[[str, Vocoder], None]) -> None:
    """Add ways to turn a mel into sound, for ``--vocoder`` and ``GenerationConfig.vocoder``.

    Args:
        register: ``register(name, vocoder)``. ``vocoder(mel, spectrogram, generator, quality,
            progress)`` gets a log1p mel power spectrogram, float32 ``[n_mels, frames]``, its
            `SpectrogramSettings`, a ``numpy.random.Generator``, ``"fast"``, ``"normal"`` or
            ``"best"``, and ``progress(share, text)``; it returns float32 samples,
            ``(frames - 1) * hop_length`` of them.
    """
