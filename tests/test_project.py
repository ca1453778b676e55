"""The files around the package: metadata, workflows and the website."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import resources
from pathlib import Path

import pytest

import distill_prior_gen

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
SOURCES = sorted(Path(distill_prior_gen.__path__[0]).rglob("*.py"))
FILES = [
    ROOT / ".pre-commit-config.yaml",
    ROOT / "docs" / "site" / "mkdocs.yml",
    *sorted((ROOT / ".github").rglob("*.yml")),
]


def load(path):
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_every_public_name_is_in_the_api_reference():
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    entries = re.findall(r"^::: distill_prior_gen\.(\w+)$", page, re.MULTILINE)
    assert sorted(entries) == sorted(distill_prior_gen.__all__)


def test_every_page_is_in_the_navigation_of_the_website():
    def pages(entries):
        for entry in entries:
            for value in entry.values():
                yield from [value] if isinstance(value, str) else pages(value)

    listed = list(pages(load(ROOT / "docs" / "site" / "mkdocs.yml")["nav"]))
    written = [page.name for page in (ROOT / "docs").glob("*.md")]
    assert sorted(listed) == sorted([*written, "index.md", "changelog.md"])


@pytest.mark.slow
def test_the_website_builds_without_warnings(tmp_path):
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(tmp_path)]
    command += ["-f", str(ROOT / "docs" / "site" / "mkdocs.yml")]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    home = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert 'href="command-line/"' in home
    assert 'src="images/take.png"' in home
    plugins = (tmp_path / "plugins" / "index.html").read_text(encoding="utf-8")
    assert f'href="{PROJECT["urls"]["Homepage"]}/blob/main/distill_prior_gen/' in plugins


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_configuration_files_can_be_read(path):
    assert isinstance(load(path), dict)


def test_the_workflow_runs_every_supported_version_of_python():
    named = {
        classifier.rsplit(" ", 1)[1]
        for classifier in PROJECT["classifiers"]
        if re.search(r"Python :: 3\.\d+$", classifier)
    }
    jobs = load(ROOT / ".github" / "workflows" / "test.yml")["jobs"]
    assert set(jobs["tests"]["strategy"]["matrix"]["python"]) == named
    assert PROJECT["requires-python"] == f">={min(named, key=lambda x: int(x.split('.')[1]))}"


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
@pytest.mark.parametrize("verbs", [["unknown"], ["lint", "types"], ["lint types"], [""]])
def test_the_checks_refuse_an_unknown_verb(verbs):
    refused = subprocess.run(["bash", ".ci/run", *verbs], cwd=ROOT, capture_output=True, text=True)
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert re.fullmatch(r"Usage: .*\n", refused.stderr)


def test_the_workflow_runs_the_checks_that_exist():
    jobs = load(ROOT / ".github" / "workflows" / "test.yml")["jobs"]
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for verb in jobs["checks"]["strategy"]["matrix"]["verb"]:
        assert f'"1 {verb}"' in script


def test_type_checkers_find_the_type_hints():
    assert resources.files(distill_prior_gen).joinpath("py.typed").is_file()


def test_the_documentation_shows_the_layers_of_the_import_contract():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page.split("## Layers")[1].split("## Rooms")[0]
    shown = [
        {Path(name).stem for name in re.findall(r"`(\w+)(?:\.py|/)`", row.split("|")[1])}
        for row in re.findall(r"^\| `.*", table, re.MULTILINE)
    ]
    (contract,) = [c for c in PYPROJECT["tool"]["importlinter"]["contracts"] if "layers" in c]
    assert shown == [set(layer.split(" | ")) for layer in contract["layers"]]


def test_every_module_of_a_room_is_described():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = dict(re.findall(r"^\| `(\w+)/` \| (.*) \|$", page.split("## Rooms")[1], re.MULTILINE))
    for room, text in rooms.items():
        modules = {path.name for path in SOURCES if path.parent.name == room} - {"__init__.py"}
        assert modules == set(re.findall(r"`(\w+\.py)`", text)), room


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_files_and_functions_are_short(path):
    source = path.read_text(encoding="utf-8")
    assert source.count("\n") <= 300
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            assert node.end_lineno - node.lineno < 60, node.name
