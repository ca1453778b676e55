"""``distill-prior plugins``: what is installed, and what it adds."""

from __future__ import annotations

import json
from typing import Any

import click

from distill_prior_gen.messages import printable


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def plugins(as_json: bool) -> None:
    """List the plugins: their hooks, what they add, and what failed."""
    listed = _listed()
    if as_json:
        click.echo(json.dumps(listed, indent=2))
        return
    for plugin in listed:
        click.echo(printable(f"{plugin['name']} {plugin['version'] or ''}".rstrip()))
        for hook, names in plugin["hooks"].items():
            click.echo(f"  {hook:<34}{printable(', '.join(names))}".rstrip())
        for fault in plugin["faults"]:
            click.echo(f"  fault: {printable(fault)}")


def _listed() -> list[dict[str, Any]]:
    from distill_prior_gen import hookspecs
    from distill_prior_gen.plugins import registry

    plugin_registry = registry()
    names = [name for name in vars(hookspecs) if name.startswith("distill_register_")]
    collected = {hook: plugin_registry.collect(hook) for hook in names}
    hooks: dict[str, list[str]] = {}
    for plugin, module in plugin_registry.loaded():
        hooks[plugin.name] = [hook for hook in names if hook in plugin_registry.hooks(module)]
    return [
        {
            "name": plugin.name,
            "version": plugin.version,
            "hooks": {
                hook: [name for name, (_, owner) in collected[hook].items() if owner is plugin]
                for hook in hooks.get(plugin.name, [])
            },
            "faults": plugin.faults,
        }
        for plugin in plugin_registry.infos.values()
    ]
