"""Writing takes: audio files with tags, and the sidecar that says how to make them again."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import soundfile
import torch

import distill_prior_gen
from distill_prior_gen.atomic import atomic_write
from distill_prior_gen.audio.mel import import_torchaudio
from distill_prior_gen.config import FORMATS, MP3_SAMPLE_RATES, ExportConfig
from distill_prior_gen.generation import GenerationResult
from distill_prior_gen.model import PriorModel

SUBTYPES = {16: "PCM_16", 24: "PCM_24", 32: "FLOAT"}

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


def sidecar_path(path: Path) -> Path:
    """Where the description of the take in `path` is kept."""
    return path.with_suffix(".json")


def existing(path: Path) -> Path | None:
    """The audio file or sidecar that would be overwritten by a take at `path`, if any."""
    return next((p for p in (path, sidecar_path(path)) if p.exists()), None)


def free_path(folder: Path, model_name: str, seed: int, export: ExportConfig) -> Path:
    """A path in `folder` that overwrites nothing, named after the model and the seed."""
    stem = f"{re.sub(r'[^A-Za-z0-9_-]+', '_', model_name).strip('_')[:80] or 'take'}-{seed}"
    path, number = folder / f"{stem}.{export.format}", 2
    while existing(path):
        path, number = folder / f"{stem}-{number}.{export.format}", number + 1
    return path


def write_take(
    result: GenerationResult,
    model: PriorModel,
    path: Path,
    export: ExportConfig,
    tags: dict[str, str] | None = None,
    overwrite: bool = False,
) -> ExportConfig:
    """Write a take and its sidecar ``NAME.json``, both whole or not at all.

    Args:
        result: the take.
        model: that it was made with.
        path: of the audio file.
        export: how to write it.
        tags: ``title``, ``artist``, ``album`` and so on, over the default ones.
        overwrite: whether existing files may be replaced.

    Returns:
        `export` with the sample rate and bit depth that were used.

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
    export = replace(export, sample_rate=sample_rate, bit_depth=bit_depth)
    audio = _resampled(result, sample_rate)
    encoding = LOSSY.get(export.format) or {"subtype": SUBTYPES[bit_depth]}
    software = f"distill-prior-gen {distill_prior_gen.__version__}"
    tags = {
        "title": f"{model.name} {result.seed}",
        "artist": "Distill",
        "software": software,
        "comment": f"seed {result.seed}, model {model.name} {model.model_id}".strip(),
        **(tags or {}),
    }
    sidecar = {
        "version": distill_prior_gen.__version__,
        "model": {
            "name": model.name,
            "id": model.model_id,
            "file": model.path.name,
            "sha256": model.sha256,
        },
        "seed": result.seed,
        "config": asdict(result.config),
        "export": asdict(export),
        "sample_rate": sample_rate,
        "duration_s": result.duration,
        "gain": result.gain,
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
    return export


def _resampled(result: GenerationResult, sample_rate: int) -> torch.Tensor:
    audio = torch.from_numpy(result.audio)
    if sample_rate == result.sample_rate:
        return audio
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
    return resampled / max(1.0, float(resampled.abs().max()))
