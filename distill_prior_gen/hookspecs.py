"""The contract with plugins: hooks, and the types that they meet; see docs/plugins.md.

A plugin is a module (or any object) with functions of these names, marked with `hookimpl`, that a
distribution announces in the entry-point group ``distill``. Each hook receives a group or a
function to register with; what it returns is ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pluggy

if TYPE_CHECKING:
    import click

    from distill_prior_gen.sampling.chunks import DrawChunks
    from distill_prior_gen.vocoding import Invert

PROJECT = "distill"

TAKES_BYTES = 2 * 10**9
"""Size of the store of takes, if nobody says."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@dataclass(frozen=True)
class TabContext:
    """What a tab needs to know of its app.

    Attributes:
        models_dirs: folders in which models are looked for.
        output_dir: folder that takes are written to.
        selected: returns the file of the model that is loaded in the app, or None.
        device: where networks run, as for `load_model`.
        recordings_dirs: folders in which recordings can be chosen to train on.
        takes_bytes: size of the takes that are saved without being asked for, below
            `output_dir`; 0 if none are.
    """

    models_dirs: tuple[Path, ...]
    output_dir: Path
    selected: Callable[[], Path | None] = lambda: None
    device: str = "auto"
    recordings_dirs: tuple[Path, ...] = ()
    takes_bytes: int = 0


@dataclass(frozen=True)
class Tab:
    """A tab of an app; see `distill_register_tabs` for the attributes."""

    identifier: str
    label: str
    build: Callable[[TabContext], None]
    position: int | None = None


class RegisterTab(Protocol):
    """What `distill_register_tabs` registers tabs with."""

    def __call__(
        self,
        identifier: str,
        label: str,
        build: Callable[[TabContext], None],
        position: int | None = None,
    ) -> None: ...


class RegisterSampler(Protocol):
    """What `distill_register_prior_samplers` registers samplers with."""

    def __call__(
        self,
        name: str,
        draw: DrawChunks,
        continues: bool = False,
        at_once: bool = False,
        whole: bool = False,
    ) -> None: ...


class RegisterVocoder(Protocol):
    """What `distill_register_vocoders` registers vocoders with."""

    def __call__(
        self, name: str, invert: Invert, loops: bool = False, conditioned: bool = False
    ) -> None: ...


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
            with a `TabContext` inside the tab and creates its Gradio components. ``position``
            is the index among the tabs, None for the last.
    """


@hookspec
def distill_register_prior_samplers(register: RegisterSampler) -> None:
    """Add methods to draw codes from a prior, for ``--sampler`` and ``GenerationConfig.sampler``.

    Args:
        register: ``register(name, draw, continues=False, at_once=False, whole=False)``.
            ``draw(model, config, chunks, progress)`` receives a `PriorModel`, a
            `GenerationConfig`, a list of chunks, and ``progress(share, text)``. Each chunk has a
            random ``generator``, a ``temperature`` for each level, and ``fixed``, int64
            ``[H * W, levels]`` with the codes that are given and -1 where one is to be drawn.
            ``draw`` returns codes, an int64 tensor ``[chunks, H * W, levels]`` on any device.

            ``draw`` is called once with all chunks. With ``continues=True`` it is called chunk by
            chunk, each time with the next chunk of every take, whose ``fixed`` holds the end of
            the previous one. With ``at_once=True`` as well, it is called once and must copy the
            columns listed in ``shared_columns`` itself.

            With ``whole=True`` each chunk is a whole take: its code map has as many columns as
            the take needs, and ``draw`` computes the temperature of each column itself, see
            `temperatures`.
    """


@hookspec
def distill_register_vocoders(register: RegisterVocoder) -> None:
    """Add methods to turn a mel into sound, for ``--vocoder`` and ``GenerationConfig.vocoder``.

    Args:
        register: ``register(name, invert, loops=False, conditioned=False)``. ``invert(mel,
            spectrogram, generator, quality, progress)`` receives a log1p mel power spectrogram,
            float32 ``[n_mels, frames]``, its `SpectrogramSettings`, a
            ``numpy.random.Generator``, ``"fast"``, ``"normal"`` or ``"best"``, and
            ``progress(share, text)``. It returns ``(frames - 1) * hop_length`` float32 samples.

            With ``loops=True`` it is also called with ``loop_samples`` for loops. Then the end of
            the mel leads into its start, its frames are spread evenly over ``loop_samples``
            samples, and ``invert`` returns that many.

            With ``conditioned=True`` it also receives ``conditioning``, which tells for each frame
            of the mel which codes it was decoded from and their embeddings, see `Conditioning`.
            It is None if the mel was not decoded from codes.
    """
