import json
import logging
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pluggy
import pytest
import soundfile
import torch

from distill_prior_gen import GenerationConfig, generate, hookimpl, hookspecs, plugins
from distill_prior_gen.ui.app import create_app
from tests.helpers.plugins import registered

PAGE = Path(__file__).resolve().parents[1] / "docs" / "plugins.md"
CHECKOUT = str(Path(plugins.__file__).parents[1])
HOOKS = [name for name in vars(hookspecs) if name.startswith("distill_register_")]


def install(folder: Path, name: str, source: str, pyproject: str | None = None) -> None:
    """Make a distribution with the plugin `name` in a folder that is put on the path."""
    project: dict[str, Any] = (
        tomllib.loads(pyproject)["project"]
        if pyproject
        else {"name": f"dist-{name}", "version": "0.5", "entry-points": {"distill": {name: name}}}
    )
    (folder / f"{project['entry-points']['distill'][name]}.py").write_text(source)
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    lines = [f"{key} = {value}" for key, value in project["entry-points"]["distill"].items()]
    (info / "entry_points.txt").write_text("[distill]\n" + "\n".join(lines) + "\n")


def distill_prior(folder: Path, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "distill_prior_gen", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), CHECKOUT]), **environment},
        cwd=folder,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def dice(tmp_path):
    text = PAGE.read_text()
    (pyproject,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    (source,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    install(tmp_path, "dice", source, pyproject)
    return tmp_path


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented(hook):
    assert f"### {hook}\n" in PAGE.read_text()
    assert f"`{hook}({list_of_arguments(hook)})`" in PAGE.read_text()


def list_of_arguments(hook: str) -> str:
    code = getattr(hookspecs, hook).__code__
    return ", ".join(code.co_varnames[: code.co_argcount])


@pytest.mark.slow
def test_sampler_vocoder_and_command_of_the_documented_plugin_work(dice, model_path):
    take = distill_prior(
        dice,
        "sample",
        model_path,
        "--sampler",
        "dice",
        "--vocoder",
        "tones",
        "-d",
        1,
        "-s",
        3,
        "-o",
        "take.wav",
        "--json",
    )
    assert take.returncode == 0, take.stderr
    config = json.loads(take.stdout)["config"]
    assert (config["sampler"], config["vocoder"]) == ("dice", "tones")
    audio, _ = soundfile.read(dice / "take.wav")
    assert len(audio) == 8_000
    assert audio.std() > 1e-3

    odds = distill_prior(dice, "dice-odds", model_path)
    assert len(odds.stdout.splitlines()) == 16


@pytest.mark.slow
def test_tab_of_the_documented_plugin_is_in_the_app(dice, tmp_path):
    program = """
from pathlib import Path
from distill_prior_gen.hookspecs import TabContext
from distill_prior_gen.ui.app import create_app
app = create_app(TabContext((Path("m"),), Path("o")))
print([c["props"]["label"] for c in app.get_config_file()["components"] if c["type"] == "tabitem"])
"""
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(dice)},
        capture_output=True,
        text=True,
    )
    assert run.stdout == "['Prior', 'Train model', 'Dice']\n", run.stderr


@pytest.mark.slow
def test_plugins_are_listed_with_what_they_add(dice):
    listed = json.loads(distill_prior(dice, "plugins", "--json").stdout)
    own, other = listed
    assert own["name"] == "prior-sampler"
    assert set(own["hooks"]) == set(HOOKS)
    vocoders = own["hooks"]["distill_register_vocoders"]
    assert vocoders == ["auto", "trained", "mel-griffin-lim", "torchaudio"]
    assert other == {
        "name": "dice",
        "version": "1.0",
        "hooks": {
            "distill_register_commands": ["dice-odds"],
            "distill_register_tabs": ["dice"],
            "distill_register_prior_samplers": ["dice"],
            "distill_register_vocoders": ["tones"],
        },
        "faults": [],
    }


@pytest.mark.parametrize(
    ("environment", "loaded"),
    [
        ({}, ["prior-sampler", "one", "two"]),
        ({"DISTILL_LOAD_PLUGINS": "two"}, ["prior-sampler", "two"]),
        ({"DISTILL_LOAD_PLUGINS": "dist-one, two"}, ["prior-sampler", "one", "two"]),
        ({"DISTILL_LOAD_PLUGINS": ""}, ["prior-sampler"]),
        ({"DISTILL_BLOCK_PLUGINS": "one"}, ["prior-sampler", "two"]),
        ({"DISTILL_BLOCK_PLUGINS": "dist-one,two"}, ["prior-sampler"]),
    ],
)
def test_the_environment_chooses_plugins(tmp_path, environment, loaded):
    for name in ("one", "two"):
        install(tmp_path, name, "")
    program = "from distill_prior_gen.plugins import registry; print(*registry().infos)"
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(tmp_path), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == loaded


BROKEN = {
    "does_not_import": "raise RuntimeError('gone to lunch')",
    "hook_raises": """
from distill_prior_gen import hookimpl
@hookimpl
def distill_register_commands(cli):
    cli.command("half-registered")(lambda: None)
    raise RuntimeError('gone to lunch')
""",
    "wrong_argument": """
from distill_prior_gen import hookimpl
@hookimpl
def distill_register_commands(lunch): pass
""",
    "takes_a_name": """
import click
from distill_prior_gen import hookimpl
@hookimpl
def distill_register_commands(cli):
    @cli.command("info")
    def info():
        click.echo("lunch")
""",
    "cannot_be_shown": """
class Shy(Exception):
    def __str__(self): raise SystemExit(1)
raise Shy
""",
    "no_params": """
import click
from distill_prior_gen import hookimpl
@hookimpl
def distill_register_commands(cli):
    @cli.command("half-registered")
    def half(): pass
    half.params = None
""",
    "talks_on": "raise RuntimeError('lunch ' * 50_000)",
    "exits_at_import": "import sys; sys.exit(3)",
    "exits_in_a_hook": """
from distill_prior_gen import hookimpl
@hookimpl
def distill_register_tabs(register): raise SystemExit
""",
    "leaves_asyncio": "import asyncio; raise asyncio.CancelledError",
    "no_command": """
from distill_prior_gen import hookimpl
@hookimpl
def distill_register_commands(cli): cli.commands['half-registered'] = 5
""",
    "no_sampler": """
from distill_prior_gen import hookimpl
@hookimpl
def distill_register_prior_samplers(register): register('dice', 'draw')
""",
    "no_name": """
from distill_prior_gen import hookimpl
@hookimpl
def distill_register_vocoders(register): register(7, print)
""",
    "no_place": """
from distill_prior_gen import hookimpl
@hookimpl
def distill_register_tabs(register): register('a', 'A', print, 'last')
""",
    "no_flag": """
from distill_prior_gen import hookimpl
@hookimpl
def distill_register_vocoders(register): register('a', print, loops='yes')
""",
    "escapes": """
from distill_prior_gen import hookimpl
@hookimpl
def distill_register_vocoders(register): register('\\x1b[2J', print)
""",
    "twice": """
from distill_prior_gen import hookimpl
@hookimpl
def distill_register_vocoders(register):
    register('a', print)
    register('a', print)
""",
}


@pytest.fixture(scope="module")
def with_broken_plugins(tmp_path_factory, model_path):
    """What three commands print where all broken plugins are installed at once."""
    folder = tmp_path_factory.mktemp("broken")
    for name, source in BROKEN.items():
        install(folder, name, source)
    info = distill_prior(folder, "info", model_path)
    help_text = distill_prior(folder, "--help").stdout
    listed = json.loads(distill_prior(folder, "plugins", "--json").stdout)
    return info, help_text, {plugin["name"]: plugin for plugin in listed}


@pytest.mark.slow
def test_commands_work_beside_broken_plugins(with_broken_plugins):
    info, help_text, listed = with_broken_plugins
    assert info.returncode == 0
    assert "Playable    yes" in info.stdout
    assert "half-registered" not in help_text
    assert listed["prior-sampler"]["faults"] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_costs_one_line_and_nothing_else(with_broken_plugins, name):
    info, _, listed = with_broken_plugins
    (fault,) = listed[name]["faults"]
    if "register" not in BROKEN[name] or "commands" in BROKEN[name]:
        lines = [line for line in info.stderr.splitlines() if f"Plugin {name}:" in line]
        assert len(lines) == 1
        assert fault in lines[0]


def test_a_command_keeps_the_name_it_is_added_with(tmp_path):
    source = """
import click
from distill_prior_gen import hookimpl
@click.command("info")
def other(): click.echo("lunch")
@hookimpl
def distill_register_commands(cli): cli.add_command(other, "menu")
"""
    install(tmp_path, "kitchen", source)
    assert distill_prior(tmp_path, "menu").stdout == "lunch\n"
    assert "Show what is in MODEL" in distill_prior(tmp_path, "info", "--help").stdout


@pytest.fixture(autouse=True)
def nothing_is_left_behind():
    found = plugins.registry().infos
    before = dict(found)
    yield
    found.clear()
    found.update(before)


class Half:
    """Registers things that give what they should not, and one that is taken."""

    @hookimpl
    def distill_register_prior_samplers(self, register):
        register("short", lambda model, config, chunks, progress: torch.zeros(1).long())
        register("beyond", self.beyond)
        register("deaf", self.deaf, continues=True)
        register("deaf at once", self.deaf, continues=True, at_once=True)

    @staticmethod
    def beyond(model, config, chunks, progress):
        return torch.full((len(chunks), *chunks[0].fixed.shape), model.codebook_size)

    @staticmethod
    def deaf(model, config, chunks, progress):
        """Every chunk has a code of its own, whatever it should hold."""
        codes = [int(chunk.generator.integers(model.codebook_size)) for chunk in chunks]
        return torch.stack(
            [torch.full_like(chunk.fixed, code) for chunk, code in zip(chunks, codes, strict=True)]
        )

    @hookimpl
    def distill_register_vocoders(self, register):
        register("torchaudio", lambda *arguments: None)
        register("nan", lambda mel, *rest: torch.full((100_000,), torch.nan))
        register("short", lambda mel, *rest: torch.zeros(3))


@pytest.fixture
def half():
    with registered(Half(), "half") as plugin:
        yield plugin


def test_a_plugin_can_be_registered_and_taken_away_again(half, caplog):
    with caplog.at_level(logging.WARNING):
        assert {"short", "nan"} <= plugins.vocoders().keys()
    assert "Plugin half: 'torchaudio' is taken by plugin prior-sampler" in caplog.messages
    assert (
        plugins.vocoders()["torchaudio"].invert.__module__
        == "distill_prior_gen.audio.torchaudio_vocoder"
    )
    plugins.registry().manager.unregister(half)
    assert "nan" not in plugins.vocoders()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sampler": "short"}, r"sampler short gave torch.int64 \[1\] instead of int64"),
        ({"sampler": "beyond"}, "sampler beyond gave codes that are not in the codebook"),
        ({"sampler": "deaf", "seed": 0}, "sampler deaf changed codes that are fixed"),
        ({"sampler": "deaf at once", "seed": 0}, "sampler deaf at once changed codes that are"),
        ({"vocoder": "nan"}, "vocoder nan gave samples that are not finite"),
        ({"vocoder": "short"}, "vocoder short gave 3 samples instead of 8000"),
    ],
)
def test_what_a_plugin_gives_is_checked(half, model, settings, message):
    with pytest.raises((ValueError, FloatingPointError), match=message):
        generate(model, GenerationConfig(duration=1, **settings))


@pytest.mark.parametrize(("field", "known"), [("sampler", "continue, indep"), ("vocoder", "mel-g")])
def test_an_unknown_name_lists_those_there_are(model, field, known):
    with pytest.raises(ValueError, match=f"{field} must be one of .*{known}.*'theremin'"):
        generate(model, GenerationConfig(**dict[str, Any]({field: "theremin"})))


def test_a_plugin_aware_core_gets_commands_and_tab_by_itself():
    manager = pluggy.PluginManager("distill")
    manager.add_hookspecs(hookspecs)
    assert manager.load_setuptools_entrypoints("distill") >= 1
    tabs, commands = [], []
    manager.hook.distill_register_tabs(register=lambda *tab: tabs.append(tab[1]))

    class Group:
        def add_command(self, command):
            commands.append(command.name)

    manager.hook.distill_register_commands(cli=Group())
    assert tabs == ["Prior", "Train model"]
    assert "sample" in commands


def test_tabs_stand_where_they_were_registered_to(tmp_path):
    class First:
        @hookimpl
        def distill_register_tabs(self, register):
            register("first", "First", lambda context: None, position=0)

    with registered(First()):
        app = create_app(hookspecs.TabContext((tmp_path,), tmp_path))
    row: Any
    (row,) = [block for block in app.blocks.values() if block.get_block_name() == "tabs"]
    assert [tab.label for tab in row.children] == ["First", "Prior", "Train model"]


class Exits:
    """A sampler, a vocoder and a tab that end the program when they are used."""

    @hookimpl
    def distill_register_prior_samplers(self, register):
        register("exits", lambda *arguments: sys.exit(4))

    @hookimpl
    def distill_register_vocoders(self, register):
        register("exits", lambda *arguments: sys.exit(4))

    @hookimpl
    def distill_register_tabs(self, register):
        register("exits", "Exits", self.build, 0)

    @staticmethod
    def build(context):
        import gradio as gr

        gr.Textbox(label="half a tab")
        sys.exit(4)


@pytest.fixture
def exits():
    with registered(Exits()):
        yield


@pytest.mark.parametrize("kind", ["sampler", "vocoder"])
def test_a_sampler_or_vocoder_that_exits_fails_the_take_only(exits, model, kind):
    with pytest.raises(RuntimeError, match=rf"{kind} exits called sys.exit\(4\)"):
        generate(model, GenerationConfig(**dict[str, Any]({"duration": 1, kind: "exits"})))


def test_a_tab_that_exits_leaves_the_others_in_the_stand_alone_app(exits, tmp_path, caplog):
    context = hookspecs.TabContext((tmp_path,), tmp_path)
    app = create_app(context)
    labels = {getattr(block, "label", None) for block in app.blocks.values()}
    assert "Prior" in labels
    assert not labels & {"Exits", "half a tab"}
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("No tab 'Exits': ")
