"""Plugins that exist for one test."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from distill_prior_gen.plugins import registry


@contextmanager
def registered(plugin: Any, name: str | None = None) -> Iterator[Any]:
    """Register an object as a plugin for a while."""
    manager = registry().manager
    known_as = manager.register(plugin, name)
    try:
        yield plugin
    finally:
        if manager.is_registered(plugin):
            manager.unregister(plugin)
        registry().infos.pop(known_as, None)
