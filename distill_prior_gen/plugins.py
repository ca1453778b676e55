"""The registry of plugins: finding them and asking them what they add.

A fault in a plugin costs that plugin only: it is reported by name, in one line of the log, and
everything else goes on.
"""

from __future__ import annotations

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import click
import pluggy

from distill_prior_gen import hookspecs
from distill_prior_gen.hookspecs import PROJECT, Tab, TabContext
from distill_prior_gen.messages import in_words, printable
from distill_prior_gen.version import __version__

if TYPE_CHECKING:
    from distill_prior_gen.sampling.chunks import DrawChunks, Sampler
    from distill_prior_gen.vocoding import Invert, Vocoder

DISTRIBUTION = "distill-prior-gen"
BUILTIN, BUILTIN_MODULE = "prior-sampler", "distill_prior_gen.builtin_plugin"
"""Name and module of the plugin with which this package registers its own features."""

LOAD, BLOCK = "DISTILL_LOAD_PLUGINS", "DISTILL_BLOCK_PLUGINS"
"""Environment variables with the names of plugins or distributions, separated by commas."""

MAX_FAULT_LENGTH = 500
"""Characters of a fault that are shown."""

T = TypeVar("T")

logger = logging.getLogger("distill_prior_gen")


@dataclass
class PluginInfo:
    """A plugin that was found, whether or not it could be loaded.

    Attributes:
        name: name of its entry point.
        version: version of its distribution.
        faults: what went wrong with it, one line each.
    """

    name: str
    version: str | None = None
    faults: list[str] = field(default_factory=list)

    def report(self, fault: str) -> None:
        """Log a fault, once."""
        if fault not in self.faults:
            self.faults.append(fault)
            logger.warning("Plugin %s: %s", printable(self.name), fault)


class PluginRegistry:
    """The plugins of this process.

    Attributes:
        manager: pluggy's manager. Plugins may be registered and unregistered at any time.
        infos: all plugins by name, including those that could not be loaded.
    """

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager(PROJECT)
        self.manager.add_hookspecs(hookspecs)
        self.infos: dict[str, PluginInfo] = {}
        self._load(PluginInfo(BUILTIN, __version__), lambda: import_module(BUILTIN_MODULE))
        only, blocked = _listed(LOAD), _listed(BLOCK)
        for entry in metadata.entry_points(group=PROJECT):
            distribution = entry.dist.name if entry.dist else entry.name
            names = {entry.name, distribution}
            wanted = names & only if LOAD in os.environ else True
            if distribution != DISTRIBUTION and wanted and not names & blocked:
                version = entry.dist.version if entry.dist else None
                self._load(PluginInfo(entry.name, version), entry.load)

    def _load(self, info: PluginInfo, load: Callable[[], Any]) -> None:
        try:
            if info.name in self.infos:
                raise ValueError("another plugin has that name")
            self.infos[info.name] = info
            self.manager.register(load(), info.name)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a plugin may call sys.exit
            info.report(f"not loaded: {_describe(error)}")
            if self.infos.get(info.name) is info and self.manager.has_plugin(info.name):
                self.manager.unregister(name=info.name)

    def loaded(self) -> list[tuple[PluginInfo, Any]]:
        """The loaded plugins and their modules, in the order of their registration."""
        return [
            (self.infos.setdefault(name, PluginInfo(name)), module)
            for name, module in self.manager.list_name_plugin()
            if module is not None
        ]

    def hooks(self, module: Any) -> list[str]:
        """Names of the hooks that a plugin implements."""
        return [caller.name for caller in self.manager.get_hookcallers(module) or []]

    def collect(self, hook: str) -> dict[str, tuple[Any, PluginInfo]]:
        """What all plugins register with a hook, by name, and which plugin it is from.

        A plugin whose hook fails adds nothing. If two plugins register the same name, the first
        wins.
        """
        collected: dict[str, tuple[Any, PluginInfo]] = {}
        loaded = self.loaded()
        for info, module in loaded:
            others = [other for _, other in loaded if other is not module]
            collector = COLLECTORS[hook]()
            try:
                self.manager.subset_hook_caller(hook, others)(**collector.arguments())
                collector.check()
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # a plugin may call sys.exit
                info.report(f"{hook} failed: {_describe(error)}")
                continue
            for name, item in collector.items.items():
                if name in collected:
                    owner = printable(collected[name][1].name)
                    info.report(f"{name!r} is taken by plugin {owner}")
                else:
                    collected[name] = item, info
        return collected


@cache
def registry() -> PluginRegistry:
    """The registry of this process, which looks for plugins once."""
    return PluginRegistry()


def samplers() -> dict[str, Sampler]:
    """All prior samplers by name."""
    return _registered("distill_register_prior_samplers")


def vocoders() -> dict[str, Vocoder]:
    """All vocoders by name."""
    return _registered("distill_register_vocoders")


def tabs() -> list[Tab]:
    """All tabs, in the order of their registration."""
    return list(_registered("distill_register_tabs").values())


def commands() -> dict[str, click.Command]:
    """All commands by name, in the order of their registration."""
    return _registered("distill_register_commands")


def get_registered(field: str, name: str, registered: dict[str, T]) -> T:
    """The sampler or vocoder that a field of `GenerationConfig` names.

    Raises:
        ValueError: if there is none; it lists those that are registered.
    """
    if name not in registered:
        raise ValueError(f"{field} must be one of {', '.join(registered)}, not {name!r}")
    return registered[name]


def _registered(hook: str) -> dict[str, Any]:
    return {name: item for name, (item, _) in registry().collect(hook).items()}


class _Items(dict[str, Any]):
    """What one plugin registers with a hook, by name."""

    def __setitem__(self, name: str, item: Any) -> None:
        if name in self:
            raise ValueError(f"{name!r} is registered twice")
        super().__setitem__(name, item)


class _Collector(ABC):
    """Collects what one plugin registers with a hook.

    Attributes:
        kinds: types that the attributes of an item may have.
        items: what was registered, by name.
    """

    kinds: ClassVar[dict[str, Any]] = {}

    def __init__(self) -> None:
        self.items: dict[Any, Any] = _Items()

    @abstractmethod
    def arguments(self) -> dict[str, Any]:
        """The arguments to call the hook with."""

    def check(self) -> None:
        """Check what was registered.

        Raises:
            TypeError: naming what is of the wrong kind.
        """
        for name, item in self.items.items():
            if not isinstance(name, str) or not name.strip() or printable(name) != name:
                raise TypeError(f"a name must be text that can be printed, not {name!r}")
            for attribute, kind in self.kinds.items():
                value = getattr(item, attribute)
                if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
                    raise TypeError(f"{attribute} of {name!r} must not be {type(value).__name__}")


class _Commands(_Collector):
    def arguments(self) -> dict[str, Any]:
        return {"cli": click.Group(commands=self.items)}

    def check(self) -> None:
        super().check()
        for name, item in self.items.items():
            if not isinstance(item, click.Command):
                raise TypeError(f"{name!r} must be a click command, not {type(item).__name__}")
            if not isinstance(item.params, list):
                raise TypeError(f"params of {name!r} must be a list")


class _Tabs(_Collector):
    kinds: ClassVar[dict[str, Any]] = {"label": str, "build": Callable, "position": int | None}

    def arguments(self) -> dict[str, Any]:
        return {"register": self.register}

    def register(
        self,
        identifier: str,
        label: str,
        build: Callable[[TabContext], None],
        position: int | None = None,
    ) -> None:
        self.items[identifier] = Tab(identifier, label, build, position)


class _Samplers(_Collector):
    flags = ("continues", "at_once", "whole")
    kinds: ClassVar[dict[str, Any]] = {"draw": Callable, **dict.fromkeys(flags, bool)}

    def arguments(self) -> dict[str, Any]:
        return {"register": self.register}

    def register(self, name: str, draw: DrawChunks, *flags: bool, **named: bool) -> None:
        from distill_prior_gen.sampling.chunks import Sampler

        self.items[name] = Sampler(draw, *flags, **named)


class _Vocoders(_Collector):
    kinds: ClassVar[dict[str, Any]] = {"invert": Callable, "loops": bool, "conditioned": bool}

    def arguments(self) -> dict[str, Any]:
        return {"register": self.register}

    def register(
        self, name: str, invert: Invert, loops: bool = False, conditioned: bool = False
    ) -> None:
        from distill_prior_gen.vocoding import Vocoder

        self.items[name] = Vocoder(invert, loops, conditioned)


COLLECTORS: dict[str, type[_Collector]] = {
    "distill_register_commands": _Commands,
    "distill_register_tabs": _Tabs,
    "distill_register_prior_samplers": _Samplers,
    "distill_register_vocoders": _Vocoders,
}


def _listed(variable: str) -> set[str]:
    """The names in a comma-separated environment variable."""
    return {name.strip() for name in os.environ.get(variable, "").split(",")} - {""}


def _describe(error: BaseException) -> str:
    kind = type(error).__name__
    try:
        text = in_words(error)
    except BaseException:  # an error of a plugin may fail when it is shown
        text = kind
    return (text if text.startswith(kind) else f"{kind}: {text}")[:MAX_FAULT_LENGTH]
