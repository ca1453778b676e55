"""The tabs in the Distill app, mostly in a stand-in for it.

Gradio and torch are imported in processes of their own: the hook works at import.
"""

import json
import os
import subprocess
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import distill_prior_gen
from tests.helpers.core_app import APP, STATE

pytestmark = pytest.mark.slow

# What the scenarios below have in common: configurations that can be compared, because
# the numbers of blocks begin anew, and tabs that are not those of the package.
PRELUDE = """
import torch
import json, logging, sys
from pathlib import Path
from types import SimpleNamespace
from distill.ui import app as core, state
import gradio as gr
from gradio.context import Context
from distill_prior_gen import plugins

lines = []
handler = logging.Handler()
handler.emit = lambda record: lines.append(record.getMessage())
logging.getLogger("distill_prior_gen").addHandler(handler)

def build(context):
    shown = gr.Textbox(lambda: "set when the page loads", label="Model")
    gr.Button("Make").click(lambda: "made", outputs=shown)

def config(create, **options):
    Context.id = 0
    config = create(**options).get_config_file()
    del config["app_id"]
    return json.loads(json.dumps(config, default=str))

def added(*tabs, **options):
    lines.clear()
    plugins.tabs = lambda: list(tabs)
    return {"config": config(core.create_app, **options), "lines": list(lines)}

def tab(identifier, build=build, position=None):
    return SimpleNamespace(
        identifier=identifier, label=identifier.title(), build=build, position=position
    )
"""

SCENARIOS = """
original = core.create_app.__wrapped__
seen = {"meta_path": [type(finder).__name__ for finder in sys.meta_path]}

def fail(context):
    app = Context.root_block
    existing = [block for block in app.blocks.values() if isinstance(block, gr.Tab)]
    with gr.Row():
        build(context)
        gr.State([])
        existing[0].select(print)
        app.load(print)
        gr.render(inputs=[gr.Number()])(lambda number: None)
        raise ValueError("no model\\nat all")

def leave_open(context):
    build(context)
    gr.Group().__enter__()
    raise SystemError

def note(context):
    folders = *context.models_dirs, context.output_dir
    seen["context"] = [*map(str, folders), context.device]
    selected = seen["selected"] = []
    loaded = lambda name: SimpleNamespace(metadata=SimpleNamespace(model_id=name))
    entry = lambda name: SimpleNamespace(file_path=name)
    core_state = state.app_state
    selected.append(context.selected())
    core_state.loaded_model = loaded("old")
    selected.append(context.selected())
    core_state.model_library.catalog.update(old=entry("old.distill"), gone=entry("gone.distill"))
    selected.append(context.selected())
    core_state.loaded_vq_model = loaded("gone")
    selected.append(context.selected())
    core_state.model_library.entries["new"] = entry("new.distill")
    core_state.loaded_vq_model = loaded("new")
    selected.append(context.selected())
    selected[:] = [path and path.name for path in selected]

seen["without"] = config(original)
seen["one"] = added(tab("prior"))
seen["launched"] = config(core.launch_ui)
seen["several"] = added(tab("last"), tab("inside", position=1), tab("beyond", position=9))
seen["twice"] = added(tab("prior"), tab("prior"), tab("second"))
seen["noted"] = added(tab("prior", note))
seen["failed"] = added(tab("bad", fail))
seen["left open"] = added(tab("bad", leave_open))
seen["failed and one"] = added(tab("bad", fail, 0), tab("prior"))
for layout in "no tabs", "two rows of tabs":
    seen[layout] = added(tab("prior"), layout=layout)
    seen[layout]["without"] = config(original, layout=layout)

plugins.tabs = lambda: 1 / 0
lines.clear()
seen["no plugins"] = {"config": config(core.create_app), "lines": list(lines)}
lines.clear()
seen["not an app"] = type(core.create_app(layout="not an app")).__name__, list(lines)
lines.clear()
try:
    core.create_app(layout="broken")
except RuntimeError as error:
    seen["broken"] = str(error), list(lines)
print(json.dumps(seen))
"""


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory) -> Path:
    """A folder that holds a package `distill` and, if need be, this package's hook."""
    folder = tmp_path_factory.mktemp("stand_in")
    write(folder, STATE, "state")
    write(folder, APP, "app")
    for name in ("old", "new"):
        path = folder / "models" / f"{name}.distill"
        path.parent.mkdir(exist_ok=True)
        path.touch()
    hook(folder)
    return folder


def write(folder: Path, text: str, module: str) -> None:
    ui = folder / "distill" / "ui"
    ui.mkdir(parents=True, exist_ok=True)
    (ui.parent / "__init__.py").touch()
    (ui / "__init__.py").touch()
    (ui / f"{module}.py").write_text(text)


def hook(folder: Path) -> None:
    """Register the hook with torch, unless the installed package does."""
    if metadata.entry_points(group="torch.backends", name="distill_prior_gen"):
        return
    info = folder / "bridge_for_tests-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bridge-for-tests\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[torch.backends]\ndistill_prior_gen = distill_prior_gen.core_bridge:autoload\n"
    )


def python(program: str, *folders: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    paths = [*map(str, folders), str(Path(__file__).parents[1])]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **environment}
    variables["GRADIO_ANALYTICS_ENABLED"] = "False"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=variables
    )
    assert result.returncode == 0, result.stderr
    return result


def tab_labels(config: dict[str, Any]) -> list[str]:
    """The labels of the outermost row of tabs, in order."""
    blocks = {block["id"]: block for block in config["components"]}

    def rows(node):
        if blocks.get(node["id"], {}).get("type") == "tabs":
            yield [blocks[child["id"]]["props"]["label"] for child in node["children"]]
        else:
            for child in node.get("children", ()):
                yield from rows(child)

    return next(rows(config["layout"]))


@pytest.fixture(scope="module")
def seen(stand_in: Path) -> Any:
    return json.loads(python(PRELUDE + SCENARIOS, stand_in).stdout.splitlines()[-1])


def test_a_tab_is_added_behind_those_of_the_app(seen):
    config = seen["one"]["config"]
    assert tab_labels(seen["without"]) == ["First", "Second"]
    assert tab_labels(config) == ["First", "Second", "Prior"]
    assert seen["one"]["lines"] == []
    assert seen["launched"] == config
    assert "_AppFinder" not in seen["meta_path"]


def test_what_the_app_had_is_unchanged(seen):
    before, after = seen["without"], seen["one"]["config"]
    for part in ("components", "dependencies"):
        assert after[part][: len(before[part])] == before[part]
    # Of the tab: itself, a text box and its form, a button; a click and a page load.
    assert len(after["components"]) - len(before["components"]) == 4
    assert len(after["dependencies"]) - len(before["dependencies"]) == 2


def test_a_tab_stands_where_it_wants_to(seen):
    labels = ["First", "Inside", "Second", "Last", "Beyond"]
    assert tab_labels(seen["several"]["config"]) == labels


def test_a_tab_that_is_there_already_is_not_added(seen):
    assert tab_labels(seen["twice"]["config"]) == ["First", "Second", "Prior"]


def test_a_tab_is_told_the_folders_and_the_device_of_the_app(seen, stand_in):
    assert seen["context"] == [str(stand_in / "models"), str(stand_in / "generated"), "cpu"]


def test_a_tab_is_told_the_model_that_is_loaded_when_it_asks(seen):
    assert seen["selected"] == [None, None, "old.distill", "old.distill", "new.distill"]


@pytest.mark.parametrize("how", ["failed", "left open"])
def test_a_tab_that_fails_half_way_leaves_nothing_behind(seen, how):
    assert seen[how]["config"] == seen["without"]
    (line,) = seen[how]["lines"]
    assert line.startswith("No tab 'Bad' in the Distill app: ")


def test_the_reason_of_a_failure_is_one_line(seen):
    (line,) = seen["failed"]["lines"]
    assert line.endswith("ValueError: no model at all")


def test_a_tab_that_fails_does_not_keep_out_the_next(seen):
    assert tab_labels(seen["failed and one"]["config"]) == ["First", "Second", "Prior"]
    assert len(seen["failed and one"]["lines"]) == 1


@pytest.mark.parametrize(("layout", "rows"), [("no tabs", 0), ("two rows of tabs", 2)])
def test_an_app_that_is_built_differently_is_left_alone(seen, layout, rows):
    assert seen[layout]["config"] == seen[layout]["without"]
    reason = f"it has {rows} rows of tabs, expected one"
    assert seen[layout]["lines"] == [f"Nothing added to the Distill app: {reason}"]


def test_trouble_of_the_plugins_is_not_the_apps(seen):
    assert seen["no plugins"]["config"] == seen["without"]
    reason = "ZeroDivisionError: division by zero"
    assert seen["no plugins"]["lines"] == [f"Nothing added to the Distill app: {reason}"]


def test_what_is_not_an_app_is_handed_on(seen):
    kind, lines = seen["not an app"]
    assert kind == "object"
    assert len(lines) == 1


def test_trouble_of_the_app_is_not_hidden(seen):
    assert seen["broken"] == ["the app's own trouble", []]


FINDERS = "print([type(f).__name__ for f in sys.meta_path].count('_AppFinder'))"


@pytest.mark.skipif(find_spec("distill") is not None, reason="the app is installed")
def test_nothing_happens_where_the_app_is_not(tmp_path):
    hook(tmp_path)
    result = python(
        "import torch, sys; print('distill_prior_gen.core_bridge' in sys.modules);" + FINDERS,
        tmp_path,
    )
    assert result.stdout.split() == ["True", "0"]
    assert result.stderr == ""


def test_the_hook_imports_neither_torch_nor_gradio_nor_the_app(stand_in):
    program = (
        "import sys; from distill_prior_gen.core_bridge import autoload; autoload(); autoload();"
        "print({'torch', 'gradio', 'numpy', 'distill'} & sys.modules.keys());" + FINDERS
    )
    assert python(program, stand_in).stdout.split() == ["set()", "1"]


# An app without gradio: that the tabs cannot be added, in one line, shows that they were
# about to be.
SMALL_APP = "def create_app(): return 'no app'\n\ndef launch_ui(): return create_app()\n"
NO_GRADIO = "import sys; sys.modules['gradio'] = None\n"
AUTOLOAD = "from distill_prior_gen.core_bridge import autoload; autoload()\n"
NAMES = "from distill.ui.app import create_app, launch_ui\n"


@pytest.mark.parametrize(
    ("app", "program"),
    [
        (SMALL_APP, AUTOLOAD + NAMES + "launch_ui()"),
        (SMALL_APP, AUTOLOAD + NAMES + "create_app()"),
        (SMALL_APP, NAMES + AUTOLOAD + "launch_ui()"),
        (SMALL_APP, AUTOLOAD + AUTOLOAD + NAMES + AUTOLOAD + "create_app()"),
        (
            SMALL_APP,
            AUTOLOAD
            + "import importlib.util as u; u.find_spec('distill.ui.app')\n"
            + NAMES
            + "create_app()",
        ),
        (AUTOLOAD + SMALL_APP, NAMES + "create_app()"),
        (AUTOLOAD + SMALL_APP, "import distill.ui.app as app; app.launch_ui()"),
    ],
    ids=["later", "later, by name", "before", "often", "looked for", "within", "within, used"],
)
def test_the_app_is_met_whenever_it_is_imported(tmp_path, app, program):
    write(tmp_path, app, "app")
    (line,) = python(NO_GRADIO + program, tmp_path).stderr.splitlines()
    assert line.startswith("Nothing added to the Distill app: ")


def test_the_hook_can_be_switched_off(tmp_path):
    hook(tmp_path)
    write(tmp_path, SMALL_APP, "app")
    program = NO_GRADIO + "import torch\n" + FINDERS + "\n" + NAMES + "create_app()"
    result = python(program, tmp_path, DISTILL_PRIOR_CORE_BRIDGE="0")
    assert (result.stdout, result.stderr) == ("0\n", "")


@pytest.mark.parametrize("first", [AUTOLOAD, ""])
def test_an_app_without_create_app_can_still_be_imported(tmp_path, first):
    write(tmp_path, "" if first else AUTOLOAD, "app")
    result = python(first + "import distill.ui.app as app; print(app.__name__)", tmp_path)
    assert result.stdout == "distill.ui.app\n"
    reason = "distill.ui.app has no create_app"
    assert result.stderr == f"Nothing added to the Distill app: {reason}\n"


@pytest.mark.skipif(find_spec("distill") is None, reason="the app is not installed")
def test_the_real_app_gets_the_registered_tabs(tmp_path):
    hook(tmp_path)
    program = (
        "import torch, json, sys; from distill.ui.app import create_app;"
        "from distill_prior_gen.plugins import tabs;"
        f"paths = dict.fromkeys(('datasets', 'models', 'generated'), {str(tmp_path)!r});"
        "app = create_app({'paths': paths}, torch.device('cpu'));"
        "json.dump([[tab.label for tab in tabs()], app.get_config_file()],"
        " sys.stdout, default=str)"
    )
    labels, config = json.loads(python(program, tmp_path).stdout)
    assert labels
    assert set(labels) <= set(tab_labels(config))
    assert tab_labels(config)[0] == "Data"


def test_the_entry_point_does_nothing_where_the_package_is_gone(tmp_path):
    source = Path(distill_prior_gen.__file__).with_name("autoload.py").read_text()
    (tmp_path / "distill_prior_gen_autoload.py").write_text(source)
    program = (
        "import sys; sys.modules['distill_prior_gen'] = None;"
        "import distill_prior_gen_autoload as module; module.autoload(); print('alive')"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    assert (run.stdout, run.stderr) == ("alive\n", "")
