"""The tabs of this package inside the Distill app.

The app loads no plugins. But it imports torch before its interface, and torch, when it is imported,
calls the functions that packages register as entry points of the group ``torch.backends``
(https://docs.pytorch.org/docs/stable/accelerator/autoload.html). Ours, `autoload`, wraps the app's
`create_app`, and the wrapper adds the tabs to the finished app.

This module runs with every ``import torch`` in the environment. Therefore it imports only the
standard library and does nothing if the app is not installed. If something is not as expected, it
logs one line and leaves the app as it was. The environment variable
``DISTILL_PRIOR_CORE_BRIDGE=0`` switches it off.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from functools import wraps
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distill_prior_gen.hookspecs import Tab, TabContext

SWITCH = "DISTILL_PRIOR_CORE_BRIDGE"
_CORE, _APP, _STATE = "distill", "distill.ui.app", "distill.ui.state"

logger = logging.getLogger("distill_prior_gen")


class _UnexpectedAppError(Exception):
    """The Distill app differs from what this module expects."""


def autoload() -> None:
    """Arrange that the tabs are added to the Distill app when it is built. Never raises."""
    with failure_logged():
        if os.environ.get(SWITCH) != "0" and (_CORE in sys.modules or find_spec(_CORE)):
            _wait_for_app()


@contextmanager
def failure_logged(what: str = "Nothing added to the Distill app") -> Iterator[None]:
    """Log a failure in one line instead of raising it."""
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may call sys.exit
        text = " ".join(str(error).split())
        if not isinstance(error, _UnexpectedAppError):
            text = f"{type(error).__name__}: {text}"
        logger.warning("%s: %s", what, text)


# Waiting for the app's module


def _wait_for_app() -> None:
    if any(isinstance(finder, _AppFinder) for finder in sys.meta_path):
        return
    module = sys.modules.get(_APP)
    if module is None:
        sys.meta_path.insert(0, _AppFinder())
    elif _is_initializing(module):
        module.__class__ = _HalfImportedApp
    else:
        _wrap_create_app(module)


class _AppFinder:
    """Finder that lets the others find the app's module, and wraps its `create_app`."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        if name != _APP:
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        found = (finder.find_spec(name, path, target) for finder in others)
        spec = next(filter(None, found), None)
        if spec is not None:
            with failure_logged():
                spec.loader = self._hooked(spec.loader)
        return spec

    def _hooked(self, loader: Any) -> Any:
        # A copy, because several modules may share a loader.
        loader = copy(loader)
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            with failure_logged():
                sys.meta_path.remove(self)
                _wrap_create_app(module)

        loader.exec_module = exec_module
        return loader


class _HalfImportedApp(ModuleType):
    """The app's module while it is being imported, if that is what imports torch.

    Code that imports the module reaches `create_app` only through an attribute of it, so it is
    early enough to wrap it at the first access to an attribute after the import.
    """

    def __getattribute__(self, name: str) -> Any:
        if not _is_initializing(self):
            self.__class__ = ModuleType  # type: ignore[assignment]
            with failure_logged():
                _wrap_create_app(self)
        return ModuleType.__getattribute__(self, name)


def _is_initializing(module: ModuleType) -> bool:
    spec = ModuleType.__getattribute__(module, "__dict__").get("__spec__")
    return getattr(spec, "_initializing", False)


def _wrap_create_app(module: ModuleType) -> None:
    original = getattr(module, "create_app", None)
    if not callable(original):
        raise _UnexpectedAppError(f"{_APP} has no create_app")
    if hasattr(original, "adds_prior_tabs"):
        return

    @wraps(original)
    def create_app(*args: Any, **kwargs: Any) -> Any:
        app = original(*args, **kwargs)
        with failure_logged():
            _add_tabs(app)
        return app

    vars(create_app)["adds_prior_tabs"] = True
    vars(module)["create_app"] = create_app


# Adding tabs to the finished app


def _add_tabs(app: Any) -> None:
    from distill_prior_gen.plugins import tabs

    row = _row_of_tabs(app)
    context = _tab_context()
    for tab in tabs():
        with failure_logged(f"No tab {tab.label!r} in the Distill app"):
            add_tab(app, row, tab, context)


def _tab_context() -> TabContext:
    from distill_prior_gen.hookspecs import TabContext

    state = import_module(_STATE).app_state
    return TabContext(
        models_dirs=(Path(state.models_dir),),
        output_dir=Path(state.generated_dir),
        selected=_loaded_model,
        device=str(state.device or "auto"),
        takes_bytes=_takes_bytes(),
    )


def _takes_bytes() -> int:
    """Size of the store of takes, from the variables for the options of ``distill-prior ui``."""
    import click

    from distill_prior_gen.hookspecs import TAKES_BYTES

    autosave = click.BOOL(os.environ.get("DISTILL_PRIOR_UI_AUTOSAVE") or "yes")
    size = os.environ.get("DISTILL_PRIOR_UI_AUTOSAVE_SIZE") or TAKES_BYTES / 1e9
    return round(float(size) * 1e9) if autosave else 0


def _loaded_model() -> Path | None:
    """The file of the model that is loaded in the app, or None.

    A model with codes takes precedence over one of the first generation.
    """
    state = import_module(_STATE).app_state
    for loaded in (state.loaded_vq_model, state.loaded_model):
        path = loaded and _file_of(loaded.metadata.model_id, state)
        if path and path.is_file():
            return path
    return None


def _file_of(model_id: str, state: Any) -> Path | None:
    library = state.model_library
    # The app reads its catalogue again only after it has changed it itself.
    entry = library and (library.get(model_id) or type(library)(state.models_dir).get(model_id))
    return Path(state.models_dir, entry.file_path) if entry else None


def _row_of_tabs(app: Any) -> Any:
    import gradio as gr

    if not isinstance(app, gr.Blocks) or app.parent is not None:
        raise _UnexpectedAppError("it is not the outermost gradio app")
    rows = list(_outermost(gr.Tabs, app))
    if len(rows) != 1:
        raise _UnexpectedAppError(f"it has {len(rows)} rows of tabs, expected one")
    return rows[0]


def _outermost(kind: type, block: Any) -> Iterator[Any]:
    for child in getattr(block, "children", ()):
        if isinstance(child, kind):
            yield child
        else:
            yield from _outermost(kind, child)


def add_tab(app: Any, row: Any, tab: Tab, context: TabContext) -> None:
    """Build a tab into a finished app. If this fails, the app is restored.

    Args:
        app: the ``gradio.Blocks`` with the row of tabs.
        row: the ``gradio.Tabs`` to add it to.
        tab: the tab of a plugin.
        context: what the tab needs to know of the app.
    """
    import gradio as gr

    if any(getattr(child, "id", None) == tab.identifier for child in row.children):
        return  # the app has it already
    put_back = _snapshot(app)
    parent = row.parent
    try:
        with _load_events_attached_once(app), app, row:
            with gr.Tab(tab.label, id=tab.identifier):
                tab.build(context)
            if tab.position is not None:
                _move_last(row.children, tab.position)
        row.parent = parent
    except BaseException:
        put_back()
        raise


def _move_last(children: list[Any], position: int) -> None:
    """Move the last of `children` to `position` among those of its kind."""
    last = children.pop()
    tabs = [child for child in children if isinstance(child, type(last))]
    before = tabs[position:][:1]
    children.insert(children.index(before[0]) if before else len(children), last)


@contextmanager
def _load_events_attached_once(app: Any) -> Iterator[None]:
    # Leaving a Blocks attaches a page-load event to each component whose value is a function.
    # Those of the app have theirs already, and would get a second one.
    attached = [block for block in app.blocks.values() if vars(block).get("load_event_to_attach")]
    kept = [(block, block.load_event_to_attach) for block in attached]
    for block in attached:
        block.load_event_to_attach = None
    try:
        yield
    finally:
        for block, event in kept:
            block.load_event_to_attach = event


def _snapshot(app: Any) -> Callable[[], None]:
    """Store the state of the app and its blocks, and return a function that restores it.

    The attributes of all blocks are stored, because an event of the tab may have changed the
    component that it listens to.
    """
    from gradio.context import Context

    context = Context.root_block, Context.block
    kept: list[tuple[Any, Any]] = []
    for thing in (app, app.default_config, *app.blocks.values()):
        attributes = vars(thing)
        kept.append((attributes, dict(attributes)))
        kept += [(v, copy(v)) for v in attributes.values() if type(v) in (dict, list, set)]

    def put_back() -> None:
        Context.root_block, Context.block = context
        for container, content in kept:
            container.clear()
            if isinstance(container, list):
                container.extend(content)
            else:
                container.update(content)

    return put_back
