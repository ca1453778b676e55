"""Entry point at the end of every ``import torch``, installed as a top-level module.

It lies outside the package so that it can be imported if the package cannot, for example after an
editable checkout was moved. An entry point that fails would make ``import torch`` fail.
"""


def autoload() -> None:
    """Prepare the Distill app for the tabs of this package, if both are there."""
    try:
        from distill_prior_gen import core_bridge
    except ImportError:
        return
    core_bridge.autoload()
