"""What the documentation says is checked against the code."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from distill_prior_gen.cli import cli

from .models import FIXTURES

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def help_of(command: str) -> str:
    arguments = [command, "--help"]
    return CliRunner().invoke(cli, arguments, prog_name="distill-prior", terminal_width=90).stdout


@pytest.mark.parametrize("command", cli.commands)
def test_the_help_of_every_command_is_in_the_docs(command):
    page = (ROOT / "docs" / "command-line.md").read_text()
    section = page.split(f"\n## {command}\n")[1].split("\n## ")[0]
    shown = section.split("```text\n")[1].split("```")[0]
    assert shown == help_of(command)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_the_docs_are_valid(page):
    for line in re.findall(r"(?:\$|&&) distill-prior (.*)", page.read_text()):
        name, *arguments = shlex.split(line)
        cli.commands[name].make_context(name, arguments)


@pytest.fixture
def in_a_folder_with_the_models(tmp_path, monkeypatch):
    if not FIXTURES.exists():
        pytest.skip(f"{FIXTURES} is not there")
    for file in FIXTURES.iterdir():
        (tmp_path / file.name).symlink_to(file)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_python_examples_run(page, in_a_folder_with_the_models):
    examples = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert examples
    exec(compile("\n".join(examples), page, "exec"), {})


@pytest.mark.parametrize("page", ["README.md", "docs/command-line.md", "docs/plugins.md"])
def test_shown_output_is_what_the_commands_print(page, in_a_folder_with_the_models):
    shown = re.findall(
        r"```console\n\$ distill-prior (.*?)\n(.*?)```", (ROOT / page).read_text(), re.DOTALL
    )
    assert shown
    for command, output in shown:
        result = CliRunner().invoke(cli, shlex.split(command))
        assert result.exit_code == 0, result.stderr
        assert without_timings(result.stdout) == without_timings(output)


def without_timings(text: str) -> str:
    return re.sub(r'("(?:load|sample|decode|invert)": )[0-9.e-]+', r"\1 0", text)
