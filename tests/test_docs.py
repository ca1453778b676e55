"""What the documentation says is checked against the code."""

import importlib.util
import re
import shlex
from pathlib import Path

import click
import pytest

from distill_prior_gen.cli import cli

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def docs_update():
    """The module docs/update.py."""
    spec = importlib.util.spec_from_file_location("docs_update", ROOT / "docs" / "update.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


update = docs_update()


@pytest.mark.slow
@pytest.mark.parametrize("part", update.PARTS)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_generated_parts_are_up_to_date(page, part):
    text = page.read_text(encoding="utf-8")
    assert update.PARTS[part](text) == text


def test_generated_parts_are_found():
    pages = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
    for name in ("README.md", "command-line.md", "plugins.md"):
        assert update.CONSOLE.findall(pages[name])
    assert set(update.RANGE.findall(pages["README.md"])) >= {"--temperature", "--top-p", "--top-k"}
    assert update.TABLE.findall(pages["training.md"]) == list(update.TABLES)


def test_outdated_parts_are_named_and_written(tmp_path, monkeypatch, capsys):
    page, right = tmp_path / "page.md", (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    wrong = re.sub("(?<=-->\n\n).*?(?=\n\n<!-- end)", "| a | table |", right, flags=re.DOTALL)
    page.write_text(wrong, encoding="utf-8")
    monkeypatch.setattr(update, "PAGES", [page])
    monkeypatch.setattr(update, "ROOT", tmp_path)
    assert update.main(["--check"]) == 1
    assert capsys.readouterr().out == "page.md: outdated tables\n"
    assert page.read_text(encoding="utf-8") == wrong != right
    assert update.main([]) == 0
    assert capsys.readouterr().out == "page.md: updated tables\n"
    assert page.read_text(encoding="utf-8") == right
    assert update.main(["--check"]) == 0


@pytest.mark.parametrize("command", cli.commands)
def test_every_command_has_a_section_with_its_help(command):
    page = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    section = page.split(f"\n## {command}\n")[1].split("\n## ")[0]
    group = cli.commands[command]
    below = group.commands if isinstance(group, click.Group) else {}
    assert update.HELP.findall(section) == [command, *(f"{command} {name}" for name in below)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_the_docs_are_valid(page):
    for line in re.findall(r"(?:\$|&&) distill-prior (.*)", page.read_text(encoding="utf-8")):
        name, *arguments = shlex.split(line)
        cli.commands[name].make_context(name, arguments)


@pytest.fixture
def in_a_folder_with_the_models(tmp_path, monkeypatch):
    update.write_models(tmp_path)
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_python_examples_run(page, in_a_folder_with_the_models):
    text = (ROOT / page).read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert examples
    exec(compile("\n".join(examples), page, "exec"), {})
