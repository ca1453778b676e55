"""The models that a tab offers.

Listing is fast even if there are many models: files that have not been read yet are listed by
their names. Descriptions are cached until a file changes.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from distill_prior_gen.checkpoint.description import describe_model
from distill_prior_gen.demo import demo_model
from distill_prior_gen.messages import in_words, printable
from distill_prior_gen.regular_files import file_sha256
from distill_prior_gen.ui.file_cache import FileCache, FileState

if TYPE_CHECKING:
    from distill_prior_gen.model import PriorModel

SUFFIXES = (".distill", ".sda")
DEMO = "demo"
"""Identifier of the demo model."""

MAX_LOADED_MODELS = 2
"""Models that stay in memory."""

MAX_DESCRIPTIONS = 20_000
"""Descriptions of model files that stay in memory."""

LISTING_S = 1.0
"""Seconds for which a listing reads files. The other files are read in the background."""


@dataclass(frozen=True)
class ModelEntry:
    """A model file, playable or not.

    Attributes:
        path: path of the file.
        label: text in the list: name, dataset and perplexity.
        reason: reason why it cannot be played, or None if it can.
        codebook_size: number of codes in each level's codebook, if known.
        note: what a user should know about it although it can be played, or None.
        has_timeline: whether it has a timeline prior that can be used.
        recordings: names of the recordings that a take can begin like.
    """

    path: Path
    label: str
    reason: str | None
    codebook_size: int | None = None
    note: str | None = None
    has_timeline: bool = False
    recordings: tuple[str, ...] = ()


_entries: FileCache[ModelEntry] = FileCache(MAX_DESCRIPTIONS)
_models: FileCache[PriorModel] = FileCache(MAX_LOADED_MODELS)
_reading = threading.Lock()
_loading = threading.Lock()


def find_models(
    folders: Sequence[Path], uploads: dict[str, Path] | None = None
) -> dict[str, ModelEntry]:
    """Models by identifiers that do not reveal where the files are.

    Files that cannot be read within `LISTING_S` are listed by their names, as if they could be
    played. They are read in the background.

    Args:
        folders: folders to look in. Missing folders are skipped.
        uploads: further files by their identifiers.

    Returns:
        Uploads, then the models of the folders, newest first, then the models that cannot be
        played, and last the demo model.
    """
    found = sorted(_scan_folders(folders), key=lambda file: file[2].modified, reverse=True)
    uploaded = [(key, path) for key, path in reversed((uploads or {}).items())]
    entries = {key: get_entry(path, key) for key, path in uploaded}
    deadline = time.monotonic() + LISTING_S
    unread = []
    for identifier, path, state in found:
        known, settled = _entries.get(path, identifier, state)
        if known is None and time.monotonic() < deadline:
            known, settled = get_entry(path, identifier), True
        if not settled:
            unread.append((path, identifier))
        entries[identifier] = known or ModelEntry(path, printable(identifier), None)
    _read_later(unread)
    ordered = dict(sorted(entries.items(), key=lambda item: item[1].reason is not None))
    return ordered | {DEMO: get_entry(demo_model(), DEMO)}


def find_model(
    identifier: str, folders: Sequence[Path], uploads: dict[str, Path] | None = None
) -> ModelEntry | None:
    """The model behind an identifier of `find_models`, or None. Only that file is read."""
    if identifier == DEMO:
        return get_entry(demo_model(), DEMO)
    if uploads and identifier in uploads:
        return get_entry(uploads[identifier], identifier)
    match = re.fullmatch(r"(.*?)(?: \((\d{1,4})\))?", identifier, re.DOTALL)
    assert match
    name, number = match[1], int(match[2] or 1)
    if not _is_model(name) or Path(name).name != name or not 1 <= number <= len(folders):
        return None
    path = folders[number - 1] / name
    if not path.is_file() and "\\" in name:  # perhaps a name that is not valid text
        same = (path for key, path, _ in _scan_folders(folders) if key == identifier)
        path = next(same, path)
    return get_entry(path, identifier) if path.is_file() else None


def has_models(folders: Iterable[Path]) -> bool:
    """Whether there is a model file in one of the folders."""
    return any(True for _ in _scan_folders(folders))


def get_entry(path: Path, identifier: str) -> ModelEntry:
    """The entry of one file. The file is read only if it may have changed."""
    try:
        state = FileState.of(path)
        known, settled = _entries.get(path, identifier, state)
        if known is None or not settled:
            known = _describe(path, identifier)
            _entries.put(path, identifier, state, known)
        return known
    except Exception as error:  # one bad file must not break the list
        reason = printable(in_words(error).replace(printable(path), identifier))
        return ModelEntry(path, f"{printable(identifier)} (cannot be played)", reason)


def load_cached_model(path: Path, device: str) -> PriorModel:
    """Load a model, or return the loaded one if the file has not changed.

    Args:
        path: path of the model file.
        device: device that the networks run on, as for `load_model`.

    Raises:
        OSError: if there is no such file.
        ModelFileError: if the model cannot be sampled.
    """
    from distill_prior_gen.model import load_model

    with _loading:
        state = FileState.of(path)
        model, settled = _models.get(path, device, state)
        if model is None or not (settled or model.sha256 == file_sha256(path)):
            _models.drop(path, device)  # frees its memory before the new one is loaded
            model = load_model(path, device)
        _models.put(path, device, state, model)
        return model


def _scan_folders(folders: Iterable[Path]) -> Iterator[tuple[str, Path, FileState]]:
    """Identifiers, paths and states of the model files in folders, without hidden files.

    The identifier is the name of the file. If the folder is not the first, its number follows.
    So an identifier does not change when other files come and go.
    """
    for number, folder in enumerate(folders, 1):
        try:
            names = [file.name for file in os.scandir(folder) if _is_model(file.name)]
        except OSError:
            continue
        for name in names:
            path = folder / name
            try:
                state = FileState.of(path)
            except OSError:
                continue
            # A name that is not valid text cannot be sent to a browser.
            text = name.encode("utf-8", "backslashreplace").decode()
            yield (text if number == 1 else f"{text} ({number})"), path, state


def _is_model(name: str) -> bool:
    return name.endswith(SUFFIXES) and not name.startswith(".")


def _read_later(files: list[tuple[Path, str]]) -> None:
    """Read files in the background, unless other files are being read already."""
    if not files or not _reading.acquire(blocking=False):
        return

    def read() -> None:
        try:
            for path, identifier in files:
                get_entry(path, identifier)
        finally:
            _reading.release()

    threading.Thread(target=read, name="model descriptions", daemon=True).start()


def _describe(path: Path, identifier: str) -> ModelEntry:
    description = describe_model(path)
    if not description["playable"]:
        reason = description["reason"].replace(printable(path), identifier)
        return ModelEntry(path, f"{description['name']} (cannot be played)", reason)
    perplexity = description["prior"]["perplexity"]
    parts = [
        description["name"],
        description["dataset"],
        f"perplexity {perplexity:.1f}" if perplexity else None,
    ]
    label = ", ".join(part for part in parts if part)
    note = None
    if fault := description["vocoder_fault"]:
        note = f"The trained vocoder of this model cannot be used ({fault}). mel-griffin-lim plays."
    timeline = description["timeline"]
    return ModelEntry(
        path,
        label,
        None,
        description["codebook"]["size"],
        note,
        timeline is not None,
        timeline["recording_names"] if timeline else (),
    )
