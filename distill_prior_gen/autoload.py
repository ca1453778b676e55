"""Called at the end of every ``import torch``, and installed as a top-level module.

It lies outside the package so that it can be imported when the package cannot, as when an
editable checkout was moved: an entry point that fails would fail ``import torch``.
"""


def autoload() -> None:
    """Prepare the Distill app for the tabs of this package, if both are there."""
    try:
        from distill_prior_gen import core_bridge
    except ImportError:
        return
    core_bridge.autoload()
