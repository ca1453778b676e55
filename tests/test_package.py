import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import distill_prior_gen

ROOT = Path(__file__).resolve().parents[1]


def run(*arguments, **options):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, **options)


@pytest.mark.parametrize(
    "statement",
    [
        "import distill_prior_gen; dir(distill_prior_gen)",
        "import distill_prior_gen.config; distill_prior_gen.GenerationConfig()",
        "from distill_prior_gen.cli import cli; cli(['--help'], standalone_mode=False)",
        "from distill_prior_gen.cli import cli; cli(['sample', '-h'], standalone_mode=False)",
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(statement):
    heavy = "{'torch', 'gradio', 'numpy', 'soundfile', 'tqdm'} & sys.modules.keys()"
    program = f"import sys; {statement}; print(sorted({heavy}), file=sys.stderr)"
    assert run("-c", program, check=True).stderr == "[]\n"


def test_public_names_are_there():
    for name in distill_prior_gen.__all__:
        assert getattr(distill_prior_gen, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        getattr(distill_prior_gen, "nothing")  # noqa: B009


def test_version_is_that_of_the_distribution():
    assert metadata.version("distill-prior-gen") == distill_prior_gen.__version__
    version = run("-m", "distill_prior_gen", "--version", check=True).stdout
    assert version == f"distill-prior, version {distill_prior_gen.__version__}\n"


def test_the_console_script_is_installed():
    (script,) = metadata.entry_points(group="console_scripts", name="distill-prior")
    assert script.load().name == "cli"


@pytest.mark.slow
def test_torch_and_torchaudio_import_together():
    assert run("-c", "import torch, torchaudio").returncode == 0


@pytest.mark.slow
def test_a_torchaudio_that_does_not_load_is_one_line(tmp_path, model_path):
    """Real mismatches end in any of these, depending on the pair."""
    for error in ("OSError('libcudart.so.13')", "RuntimeError('compiled with CUDA 13')"):
        (tmp_path / "torchaudio.py").write_text(f"raise {error}")
        program = (
            f"import sys; sys.path.insert(0, {str(tmp_path)!r});"
            "from distill_prior_gen.cli import cli;"
            f"cli(['sample', {str(model_path)!r}, '-o', {str(tmp_path / 'x.wav')!r}])"
        )
        result = run("-c", program)
        assert result.returncode == 1
        assert result.stderr.startswith("Error: torch 2.")
        assert "pip install 'torch==2.10.*' 'torchaudio==2.10.*'" in result.stderr
        assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("target", ["sdist", "wheel"])
def test_packages_contain_what_git_knows_and_nothing_else(target, tmp_path):
    pytest.importorskip("hatchling")
    if not (ROOT / ".git").exists():
        pytest.skip("not in a repository")
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, check=True, text=True
    )
    known = {name for name in listed.stdout.splitlines() if (ROOT / name).is_file()}
    copy = tmp_path / "copy"
    for name in known:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@y"]
    subprocess.run([*git, "init", "-q"], cwd=copy, check=True)
    subprocess.run([*git, "add", "--all", "--force"], cwd=copy, check=True)
    for stray in ("distill_prior_gen/stray.py", "tests/stray.wav", "docs/stray/a.md", "stray.py"):
        (copy / stray).parent.mkdir(exist_ok=True)
        (copy / stray).touch()
    build = ["-m", "hatchling", "build", "-t", target, "-d"]
    run(*build, str(tmp_path), cwd=copy, check=True)
    if target == "sdist":
        with tarfile.open(*tmp_path.glob("*.tar.gz")) as archive:
            packed = {name.split("/", 1)[1] for name in archive.getnames()} - {"PKG-INFO"}
        assert packed == known
    else:
        with zipfile.ZipFile(*tmp_path.glob("*.whl")) as archive:
            packed = {name for name in archive.namelist() if ".dist-info/" not in name}
        package = {name for name in known if name.startswith("distill_prior_gen/")}
        moved = {"distill_prior_gen/autoload.py", "distill_prior_gen_autoload.py"}
        assert packed - moved == package - moved
        assert "distill_prior_gen_autoload.py" in packed
    first = next(path for path in tmp_path.iterdir() if path.is_file())
    for path in copy.rglob("*.py"):
        os.utime(path, (1, 1))
    run(*build, str(tmp_path / "again"), cwd=copy, check=True)
    assert (tmp_path / "again" / first.name).read_bytes() == first.read_bytes()


def test_links_of_the_page_in_the_package_index_lead_to_files_of_the_version():
    tag = f"v{distill_prior_gen.__version__}"
    home = "https://github.com/distill-prior-gen/distill-prior-gen/blob/"
    pictures = "https://raw.githubusercontent.com/distill-prior-gen/distill-prior-gen/"
    page = str(metadata.metadata("distill-prior-gen").json["description"])
    links = re.findall(r"(!?)\[[^]]*\]\(([^)#]+)[^)]*\)", page)
    assert [link for picture, link in links if picture] > []
    for picture, link in links:
        assert link.startswith("https://")
        if link.startswith((home, pictures)):
            found, name = link.removeprefix(pictures if picture else home).split("/", 1)
            assert found == tag
            assert (ROOT / name).is_file()
