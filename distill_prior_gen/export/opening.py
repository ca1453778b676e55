"""Opening what was written: takes from their sidecars, and recordings as takes."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from distill_prior_gen.audio.decoding import RecordingError
from distill_prior_gen.audio.recordings import MIN_PEAK, read_mono
from distill_prior_gen.config import (
    GenerationConfig,
    Progress,
    no_progress,
    partial_progress,
)
from distill_prior_gen.editing.code_maps import take_of_base, take_of_sound
from distill_prior_gen.editing.sections import apply_edit
from distill_prior_gen.export.kept_files import read_sound
from distill_prior_gen.export.sidecar import FileReference, Sidecar, StoredEdit, read_sidecar
from distill_prior_gen.generation import generate, generate_from_codes
from distill_prior_gen.model import PriorModel
from distill_prior_gen.result import Base, Edit, GenerationResult

MAX_RECORDING_S = 300.0
"""Length of the longest recording that is opened as a take."""

RENDERING = ("vocoder", "quality", "width")
"""Settings that do not count for the codes of a take."""


def open_take(
    model: PriorModel,
    path: str | os.PathLike[str],
    progress: Progress | None = None,
    **changes: Any,
) -> GenerationResult:
    """Open a take of a sidecar, or a recording as a take.

    A take is made again from the codes in its sidecar. Without codes, as version 0.1 wrote them, or
    with another model or other settings than those in the sidecar, they are drawn again.

    Args:
        model: the model that made the take, or that encodes the recording.
        path: ``TAKE.wav.json``, or a sound file of at most 5 minutes.
        progress: called with the fraction that is done and a description of the current work.
        changes: fields of `GenerationConfig` that replace those in the sidecar.

    Raises:
        OSError: if a file cannot be read or is not there any more.
        ValueError: if it is neither, or not one of this model; if settings do not fit the model.
    """
    path, report = Path(path), progress or no_progress
    if not is_sidecar_name(path):
        return take_of_sound(model, _read_recording(model, path), path.name, **_config(changes))
    sidecar = read_sidecar(path)
    config = GenerationConfig(**take_settings(path, sidecar, changes))
    stored = GenerationConfig(**sidecar.config | {"prompt": config.prompt})
    same = sidecar.model.codes_id == model.codes_id
    drawn_anew = "prompt" in changes or stored != replace(
        config, **{name: getattr(stored, name) for name in RENDERING}
    )
    if (sidecar.base or sidecar.edits) and not same:
        raise ValueError(
            f"{path} was made with another model, {sidecar.model.file}; give that with --model"
        )
    if (sidecar.base or sidecar.edits) and drawn_anew:
        raise ValueError(
            f"{path} is an edited take, of which only vocoder, quality and width can be changed; "
            "edit it further, or replay the take that it was made of"
        )
    if sidecar.codes is None or drawn_anew or not same:
        return generate(model, config, report)
    steps = 1 + len(sidecar.edits)
    take = _unedited(model, path, sidecar, config, partial_progress(report, 0.0, 1 / steps))
    for step, stored_edit in enumerate(sidecar.edits, 1):
        stage = partial_progress(report, step / steps, (step + 1) / steps)
        try:
            edit = _edit(path, stored_edit, changes)
            take = apply_edit(model, take, edit, stage)
        except ValueError as error:
            raise ValueError(f"{path}, edit {step}: {error}") from error
    return take


def is_sidecar_name(path: Path) -> bool:
    """Whether a path is that of a sidecar rather than of a recording."""
    return path.suffix.lower() == ".json"


def take_settings(path: Path, sidecar: Sidecar, changes: dict[str, Any]) -> dict[str, Any]:
    """Fields of the `GenerationConfig` of the take of a sidecar; its prompt is a file that exists.

    Args:
        path: the sidecar.
        sidecar: what that says.
        changes: fields that are replaced.

    Raises:
        FileNotFoundError: if the prompt is not there any more.
    """
    if sidecar.prompt and "prompt" not in changes:
        changes = changes | {
            "prompt": str(find_file(path, sidecar.prompt, "--prompt of 'distill-prior replay'"))
        }
    return sidecar.config | changes


def find_file(sidecar: Path, file: FileReference, option: str = "") -> Path:
    """The file that a sidecar refers to.

    Args:
        sidecar: the sidecar.
        file: the file.
        option: option with which another path of it can be given.

    Raises:
        FileNotFoundError: if it is not there any more.
    """
    for folder in (sidecar.parent, Path(os.path.realpath(sidecar)).parent):
        if os.path.exists(path := folder / file.path):
            return path
    remedy = f"give it with {option}" if option else "put it back"
    raise FileNotFoundError(
        f"{sidecar.parent / file.path} is not there any more; {remedy} (its SHA-256 is "
        f"{file.sha256})"
    )


def _config(changes: dict[str, Any]) -> dict[str, GenerationConfig]:
    return {"config": GenerationConfig(**changes)} if changes else {}


def _read_recording(model: PriorModel, path: Path) -> np.ndarray:
    sound = read_mono(path, model.sample_rate, MAX_RECORDING_S + 1).numpy()
    if len(sound) > MAX_RECORDING_S * model.sample_rate:
        raise RecordingError(path, f"is longer than {MAX_RECORDING_S:g} s; cut out a part of it")
    if np.abs(sound).max() < MIN_PEAK:
        raise RecordingError(path, "is silent; choose a recording with sound in it")
    return sound


def _unedited(
    model: PriorModel, path: Path, sidecar: Sidecar, config: GenerationConfig, progress: Progress
) -> GenerationResult:
    """The take of a sidecar before its edits."""
    assert sidecar.codes is not None
    codes, base = sidecar.codes.read(), sidecar.base
    if base is None:
        return generate_from_codes(model, config, codes, progress)
    if codes.dim() != 3 or codes.shape[0] != 1 or codes.shape[1] % model.grid[0]:
        raise ValueError(f"{path} has codes that are not a code map of {model.name}")
    code_map = codes[0].unflatten(0, (model.grid[0], -1))
    sound = None
    if base.sound:
        longest = round((MAX_RECORDING_S + 1) * model.sample_rate)
        sound = read_sound(find_file(path, base.sound), base.sound.sha256, longest)
    made_of = Base(code_map, base.samples, base.trim_start, sound, base.name, base.gain)
    return take_of_base(model, made_of, config, progress)


def _edit(path: Path, edit: StoredEdit, changes: dict[str, Any]) -> Edit:
    sound = None
    if edit.sound:
        sound = read_sound(find_file(path, edit.sound), edit.sound.sha256, edit.samples)
    return Edit(
        operation=edit.operation,
        settings=edit.settings,
        config=GenerationConfig(**edit.config | changes),
        codes=edit.codes.read(),
        samples=edit.samples,
        gain=edit.gain,
        spans=tuple((first, last) for first, last in edit.spans),
        sound=sound,
        levels=None if edit.levels is None else tuple(edit.levels),
    )
