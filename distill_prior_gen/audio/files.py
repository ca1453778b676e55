"""Writing takes: audio files with tags, and the sidecar that says how to make them again."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import soundfile
import torch

import distill_prior_gen
from distill_prior_gen.atomic import atomic_write
from distill_prior_gen.audio.mel import import_torchaudio
from distill_prior_gen.config import FORMATS, MP3_SAMPLE_RATES, ExportConfig
from distill_prior_gen.generation import GenerationResult
from distill_prior_gen.model import ModelIdentity
from distill_prior_gen.paths import existing, sidecar_path

SUBTYPES: dict[int | None, str] = {16: "PCM_16", 24: "PCM_24", 32: "FLOAT"}

LOSSY = {
    "ogg": {"subtype": "VORBIS", "compression_level": 0.4},
    "mp3": {
        "subtype": "MPEG_LAYER_III",
        "bitrate_mode": "CONSTANT",
        "compression_level": 0.0,  # 320 kbit/s
    },
}

BLOCK = 65_536
"""Frames written at once; libsndfile's Vorbis encoder overflows its stack on much longer ones."""


def write_take(
    result: GenerationResult,
    model: ModelIdentity,
    path: Path,
    export: ExportConfig,
    tags: dict[str, str] | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write a take and its sidecar ``NAME.json``, both whole or not at all.

    Args:
        result: the take.
        model: that it was made with.
        path: of the audio file.
        export: how to write it.
        tags: ``title``, ``artist``, ``album`` and so on, over the default ones.
        overwrite: whether existing files may be replaced.

    Returns:
        What the sidecar says.

    Raises:
        FileExistsError: if one of the two files exists and `overwrite` is False.
        OSError: if writing failed.
        ValueError: if the format cannot hold the sample rate.
    """
    sample_rate = export.sample_rate or result.sample_rate
    if export.format == "mp3" and sample_rate not in MP3_SAMPLE_RATES:
        raise ValueError(
            f"mp3 cannot hold {sample_rate} Hz; choose a sample rate of 44100 or 48000"
        )
    bit_depth = export.bit_depth or (24 if FORMATS[export.format] else None)
    audio, gain = _resampled(result, sample_rate)
    encoding = LOSSY.get(export.format) or {"subtype": SUBTYPES[bit_depth]}
    software = f"distill-prior-gen {distill_prior_gen.__version__}"
    given = tags or {}
    tags = {
        "title": f"{model.name} {result.seed}",
        "artist": "Distill",
        "software": software,
        "comment": f"seed {result.seed}, model {model.name} {model.model_id}".strip(),
        **given,
    }
    prompt = None
    if result.prompt:
        prompt = {
            "file": result.prompt.path.name,
            "path": _seen_from(path.parent, result.prompt.path),
            "sha256": result.prompt.sha256,
        }
    sidecar = {
        "version": distill_prior_gen.__version__,
        "model": {
            "name": model.name,
            "id": model.model_id,
            "file": model.path.name,
            "path": _seen_from(path.parent, model.path),
            "sha256": model.sha256,
        },
        "prompt": prompt,
        "seed": result.seed,
        "config": asdict(result.config),
        "format": export.format,
        "bit_depth": bit_depth,
        "sample_rate": sample_rate,
        "duration_s": result.duration,
        "gain": result.gain * gain,
        "tags": given,
    }
    if not overwrite and (taken := existing(path)):
        raise FileExistsError(f"{taken} exists")
    # The sidecar takes its name first, so that no take is ever without one.
    with (
        atomic_write(path, overwrite) as partial,
        atomic_write(sidecar_path(path), overwrite) as partial_sidecar,
    ):
        partial_sidecar.write_text(json.dumps(sidecar, indent=2) + "\n", encoding="utf-8")
        try:
            with soundfile.SoundFile(
                partial, "w", sample_rate, 1, format=export.format.upper(), **encoding
            ) as file:
                for name, value in tags.items():
                    setattr(file, name, value)
                for block in audio.split(BLOCK):
                    file.write(block.numpy())
            written = soundfile.info(partial).frames
        except soundfile.LibsndfileError as error:
            raise OSError(f"{path} could not be written: {error.error_string}") from error
        if written < len(audio):
            raise OSError(f"{path} could not be written whole; is the disk full?")
    return sidecar


def _seen_from(folder: Path, file: Path) -> str:
    """The path of a file from a folder, or its whole path where there is none."""
    try:
        return Path(os.path.relpath(file, folder)).as_posix()
    except ValueError:  # on another drive
        return str(file.absolute())


def _resampled(result: GenerationResult, sample_rate: int) -> tuple[torch.Tensor, float]:
    """Samples at another rate, and what they were multiplied with to stay within -1 and 1."""
    audio = torch.from_numpy(result.audio)
    if sample_rate == result.sample_rate:
        return audio, 1.0
    resampled = import_torchaudio().functional.resample(
        audio,
        result.sample_rate,
        sample_rate,
        # Steep enough that nothing audible is lost or folded back.
        lowpass_filter_width=64,
        rolloff=0.9476,
        resampling_method="sinc_interp_kaiser",
        beta=14.77,
    )[: round(len(audio) * sample_rate / result.sample_rate)]
    peak = max(1.0, float(resampled.abs().max()))
    return resampled / peak, 1 / peak
