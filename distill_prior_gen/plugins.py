"""Finding plugins and asking them what they add.

A fault in a plugin costs that plugin only: it is reported by name, in one line of the
log, and everything else goes on.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click
import pluggy

from distill_prior_gen import __version__, hookspecs
from distill_prior_gen.messages import in_words, printable

if TYPE_CHECKING:
    from distill_prior_gen.audio.vocoders import Invert
    from distill_prior_gen.sampling.chunks import DrawChunks

DISTRIBUTION = "distill-prior-gen"
OWN, OWN_MODULE = "prior-sampler", "distill_prior_gen.builtin_plugin"
"""The plugin with which this package registers its own features."""

LOAD, BLOCK = "DISTILL_LOAD_PLUGINS", "DISTILL_BLOCK_PLUGINS"

Thing = TypeVar("Thing")

MAX_LINE = 500
"""Characters of a fault that are shown."""

logger = logging.getLogger("distill_prior_gen")


@dataclass(frozen=True)
class TabContext:
    """What a tab needs to know of the app that it is in.

    Attributes:
        models_dirs: folders in which models are looked for.
        output_dir: folder that takes are written to.
        selected: tells the file of the model that the app has loaded at the moment, if any.
        device: where networks run, as for `load_model`.
    """

    models_dirs: tuple[Path, ...]
    output_dir: Path
    selected: Callable[[], Path | None] = lambda: None
    device: str = "auto"


@dataclass(frozen=True)
class Tab:
    """A tab of an app, see the hook `distill_register_tabs`."""

    identifier: str
    label: str
    build: Callable[[TabContext], None]
    position: int | None = None


@dataclass(frozen=True)
class Sampler:
    """A way to draw codes, see the hook `distill_register_prior_samplers`."""

    draw: DrawChunks
    continues: bool = False
    at_once: bool = False


@dataclass(frozen=True)
class Vocoder:
    """A way to turn a mel into sound, see the hook `distill_register_vocoders`."""

    invert: Invert
    loops: bool = False


class RegisterSampler(Protocol):
    def __call__(
        self, name: str, draw: DrawChunks, continues: bool = False, at_once: bool = False
    ) -> None: ...


class RegisterVocoder(Protocol):
    def __call__(self, name: str, invert: Invert, loops: bool = False) -> None: ...


class RegisterTab(Protocol):
    def __call__(
        self,
        identifier: str,
        label: str,
        build: Callable[[TabContext], None],
        position: int | None = None,
    ) -> None: ...


@dataclass
class Plugin:
    """A plugin that was found, loaded or not.

    Attributes:
        name: of its entry point.
        version: of its distribution.
        faults: what went wrong with it, a line each.
    """

    name: str
    version: str | None = None
    faults: list[str] = field(default_factory=list)

    def report(self, fault: str) -> None:
        """Log a fault, once."""
        if fault not in self.faults:
            self.faults.append(fault)
            logger.warning("Plugin %s: %s", printable(self.name), fault)


class Plugins:
    """The plugins of this process.

    Attributes:
        manager: pluggy's; a plugin that is registered with it or taken from it counts at once.
        found: all plugins by name, those that could not be loaded too.
    """

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager(hookspecs.PROJECT)
        self.manager.add_hookspecs(hookspecs)
        self.found: dict[str, Plugin] = {}
        self._load(Plugin(OWN, __version__), lambda: import_module(OWN_MODULE))
        only, blocked = _names(LOAD), _names(BLOCK)
        for entry in metadata.entry_points(group=hookspecs.PROJECT):
            distribution = entry.dist.name if entry.dist else entry.name
            names = {entry.name, distribution}
            wanted = names & only if LOAD in os.environ else True
            if distribution != DISTRIBUTION and wanted and not names & blocked:
                version = entry.dist.version if entry.dist else None
                self._load(Plugin(entry.name, version), entry.load)

    def _load(self, plugin: Plugin, load: Callable[[], Any]) -> None:
        try:
            if plugin.name in self.found:
                raise ValueError("another plugin has that name")
            self.found[plugin.name] = plugin
            self.manager.register(load(), plugin.name)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a plugin may call sys.exit
            plugin.report(f"not loaded: {_line(error)}")
            if self.found.get(plugin.name) is plugin and self.manager.has_plugin(plugin.name):
                self.manager.unregister(name=plugin.name)

    def loaded(self) -> list[tuple[Plugin, Any]]:
        """The loaded plugins and their modules, in the order of their registration."""
        return [
            (self.found.setdefault(name, Plugin(name)), module)
            for name, module in self.manager.list_name_plugin()
            if module is not None
        ]

    def hooks(self, module: Any) -> list[str]:
        """Names of the hooks that a plugin implements."""
        return [caller.name for caller in self.manager.get_hookcallers(module) or []]

    def collect(self, hook: str) -> dict[str, tuple[Any, Plugin]]:
        """What all plugins register with a hook, by name, and which plugin it is from.

        A plugin whose hook fails adds nothing. Of two things of one name the first counts.
        """
        collected: dict[str, tuple[Any, Plugin]] = {}
        loaded = self.loaded()
        for plugin, module in loaded:
            others = [other for _, other in loaded if other is not module]
            arguments, things = _registry(hook)
            try:
                self.manager.subset_hook_caller(hook, others)(**arguments)
                _check_kinds(hook, things)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # a plugin may call sys.exit
                plugin.report(f"{hook} failed: {_line(error)}")
                continue
            for name, thing in things.items():
                if name in collected:
                    owner = printable(collected[name][1].name)
                    plugin.report(f"{name!r} is taken by plugin {owner}")
                else:
                    collected[name] = thing, plugin
        return collected


@cache
def plugins() -> Plugins:
    """The plugins of this process, which are looked for once."""
    return Plugins()


def samplers() -> dict[str, Sampler]:
    """All prior samplers by name."""
    return _things("distill_register_prior_samplers")


def vocoders() -> dict[str, Vocoder]:
    """All vocoders by name."""
    return _things("distill_register_vocoders")


def registered_tabs() -> list[Tab]:
    """All tabs, in the order of their registration."""
    return list(_things("distill_register_tabs").values())


def commands() -> dict[str, click.Command]:
    """All commands by name, in the order of their registration."""
    return _things("distill_register_commands")


def choose(field: str, name: str, things: dict[str, Thing]) -> Thing:
    """The one of `things` that a field of `GenerationConfig` names.

    Raises:
        ValueError: if there is none; it lists those there are.
    """
    if name not in things:
        raise ValueError(f"{field} must be one of {', '.join(things)}, not {name!r}")
    return things[name]


def _things(hook: str) -> dict[str, Any]:
    return {name: thing for name, (thing, _) in plugins().collect(hook).items()}


def _registry(hook: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The argument to call a hook with, and the dictionary that it will fill."""
    things: dict[str, Any] = _Registered()
    if hook == "distill_register_commands":
        return {"cli": click.Group(commands=things)}, things
    if hook == "distill_register_tabs":

        def register_tab(
            identifier: str,
            label: str,
            build: Callable[[TabContext], None],
            position: int | None = None,
        ) -> None:
            things[identifier] = Tab(identifier, label, build, position)

        return {"register": register_tab}, things
    kind = Sampler if hook == "distill_register_prior_samplers" else Vocoder

    def register(name: str, *arguments: Any, **options: Any) -> None:
        things[name] = kind(*arguments, **options)

    return {"register": register}, things


def _names(variable: str) -> set[str]:
    """The names in a comma-separated environment variable."""
    return {name.strip() for name in os.environ.get(variable, "").split(",")} - {""}


class _Registered(dict[str, Any]):
    """What one plugin registers with a hook, by name."""

    def __setitem__(self, name: str, thing: Any) -> None:
        if name in self:
            raise ValueError(f"{name!r} is registered twice")
        super().__setitem__(name, thing)


def _check_kinds(hook: str, things: dict[Any, Any]) -> None:
    """Check what a plugin has registered with a hook.

    Raises:
        TypeError: naming what is of the wrong kind.
    """
    kinds: dict[type, dict[str, Any]] = {
        Sampler: {"draw": Callable, "continues": bool, "at_once": bool},
        Vocoder: {"invert": Callable, "loops": bool},
        Tab: {"label": str, "build": Callable, "position": int | None},
    }
    for name, thing in things.items():
        if not isinstance(name, str) or not name.strip() or printable(name) != name:
            raise TypeError(f"a name must be text that can be printed, not {name!r}")
        if hook == "distill_register_commands" and not isinstance(thing, click.Command):
            raise TypeError(f"{name!r} must be a click command, not {type(thing).__name__}")
        if isinstance(thing, click.Command) and not isinstance(thing.params, list):
            raise TypeError(f"params of {name!r} must be a list")
        for field_, kind in kinds.get(type(thing), {}).items():
            value = getattr(thing, field_)
            if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
                raise TypeError(f"{field_} of {name!r} must not be {type(value).__name__}")


def _line(error: BaseException) -> str:
    kind = type(error).__name__
    try:
        text = in_words(error)
    except BaseException:  # an error of a plugin may fail when it is shown
        text = kind
    return (text if text.startswith(kind) else f"{kind}: {text}")[:MAX_LINE]
