"""The models that a tab lists while files come, go and change."""

import json
import os
import shutil
import time

import pytest

from distill_prior_gen.ui import library
from distill_prior_gen.ui.library import find_model, find_models, has_models, load_cached_model
from tests.helpers.models import add_vocoder, write_model


@pytest.fixture
def folder(tmp_path, model_path):
    for name in ("a.distill", "b.distill"):
        shutil.copy(model_path, tmp_path / name)
    return tmp_path


def test_an_identifier_stays_that_of_its_file_when_others_come_and_go(tmp_path, model_path):
    folders = [tmp_path / "one", tmp_path / "two"]
    for place in folders:
        place.mkdir()
    shutil.copy(model_path, folders[1] / "same.distill")
    (identifier,) = find_models(folders).keys() - {"demo"}
    shutil.copy(model_path, folders[0] / "same.distill")
    assert find_model(identifier, folders).path == folders[1] / "same.distill"
    assert find_models(folders)[identifier].path == folders[1] / "same.distill"


def test_a_click_lists_no_folder(folder, monkeypatch):
    monkeypatch.setattr(os, "scandir", lambda folder: pytest.fail("listed"))
    assert find_model("a.distill", [folder]).label == "small, noise, perplexity 4.5"
    assert find_model("gone.distill", [folder]) is None


@pytest.mark.parametrize(
    "identifier",
    ["", "..", "../a.distill", "/etc/passwd", "a.distill (0)", "a.distill (9)", "\x00.distill"],
)
def test_identifiers_lead_nowhere_else(folder, identifier):
    assert find_model(identifier, [folder / "inner", folder]) is None


def test_files_that_are_not_read_in_time_are_listed_by_their_names_until_they_are(
    folder, monkeypatch
):
    monkeypatch.setattr(library, "LISTING_S", -1)
    listed = find_models([folder])
    assert [listed[name].label for name in ("a.distill", "b.distill")] == ["a.distill", "b.distill"]
    for _ in range(600):
        if find_models([folder])["b.distill"].label.startswith("small"):
            break
        time.sleep(0.05)
    else:
        pytest.fail("the file was never read")


@pytest.mark.posix
def test_hidden_files_and_folders_are_not_listed(folder, model_path):
    shutil.copy(model_path, folder / ".c.distill")
    (folder / "d.distill").mkdir()
    (folder / "e.distill").symlink_to("nowhere")
    assert sorted(find_models([folder, folder / "gone"])) == ["a.distill", "b.distill", "demo"]
    assert not has_models([folder / "d.distill"])


def test_a_name_that_is_no_text_can_be_sent_to_a_browser_and_back(tmp_path, model_path):
    path = tmp_path / os.fsdecode(b"x\xff.distill")
    try:
        shutil.copy(model_path, path)
    except OSError:
        pytest.skip("the file system takes no such names")
    (identifier,) = find_models([tmp_path]).keys() - {"demo"}
    sent = json.loads(json.dumps(identifier).encode())
    assert find_model(sent, [tmp_path]).path == path


def test_a_file_that_changes_and_keeps_its_time_and_size_is_read_again(tmp_path):
    path = write_model(tmp_path / "m.distill", name="one")
    (tmp_path / "other").mkdir()
    other = write_model(tmp_path / "other" / "m.distill", name="two", seed=1)
    assert path.stat().st_size == other.stat().st_size
    stat = path.stat()
    first = load_cached_model(path, "cpu")
    assert load_cached_model(path, "cpu") is first
    assert find_models([tmp_path])["m.distill"].label.startswith("one")
    path.write_bytes(other.read_bytes())
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert load_cached_model(path, "cpu").name == "two"
    assert find_model("m.distill", [tmp_path]).label.startswith("two")


def test_a_file_that_is_gone_is_not_there_any_more(folder):
    assert find_model("a.distill", [folder]).reason is None
    (folder / "a.distill").unlink()
    assert find_model("a.distill", [folder]) is None
    assert "a.distill" not in find_models([folder])


def test_a_model_whose_vocoder_cannot_be_used_is_listed_with_a_note(tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    add_vocoder(write_model(folder / "good.distill"))
    add_vocoder(write_model(folder / "odd.distill"), vocoder_config={"architecture": "hifigan"})
    entries = {entry.path.name: entry for entry in find_models([folder]).values()}
    assert entries["good.distill"].note is None
    assert entries["odd.distill"].reason is None
    assert "hifigan" in entries["odd.distill"].note
    assert "mel-griffin-lim plays" in entries["odd.distill"].note
