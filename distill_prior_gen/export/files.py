"""Writing takes: audio files with tags, and their sidecars."""

from __future__ import annotations

import io
import os
from dataclasses import asdict
from pathlib import Path

import numpy as np
import soundfile
import soxr

from distill_prior_gen.atomic import atomic_write
from distill_prior_gen.export.kept_files import keep_prompt, keep_sound
from distill_prior_gen.export.loudness import gain_for_loudness
from distill_prior_gen.export.naming import existing, free_path, sidecar_path
from distill_prior_gen.export.sidecar import (
    ModelReference,
    Sidecar,
    StoredBase,
    StoredCodes,
    StoredEdit,
    is_sidecar,
    relative_path,
)
from distill_prior_gen.export.tags import id3
from distill_prior_gen.export.wav_chunks import loop_chunk, marker_chunk, with_chunks
from distill_prior_gen.formats import FORMATS, MP3_SAMPLE_RATES, ExportConfig
from distill_prior_gen.model import ModelIdentity
from distill_prior_gen.result import Edit, GenerationResult
from distill_prior_gen.version import __version__

SUBTYPES: dict[int | None, str] = {16: "PCM_16", 24: "PCM_24", 32: "FLOAT"}

LOSSY = {
    "ogg": {"subtype": "VORBIS", "compression_level": 0.4},
    "mp3": {
        "subtype": "MPEG_LAYER_III",
        "bitrate_mode": "CONSTANT",
        "compression_level": 0.0,  # 320 kbit/s
    },
}

ADD_PEAK_CHUNK = 0x1050
"""libsndfile's SFC_SET_ADD_PEAK_CHUNK, which the package soundfile has no function for."""

BLOCK_SIZE = 65_536
"""Frames that are written at once. libsndfile's Vorbis encoder overflows its stack on much longer
blocks."""


def write_take(
    result: GenerationResult,
    model: ModelIdentity,
    path: Path,
    export: ExportConfig,
    tags: dict[str, str] | None = None,
    overwrite: bool = False,
) -> Sidecar:
    """Write a take and its sidecar ``take.wav.json``, each whole or not at all.

    A copy of the prompt is kept in the folder ``prompts`` next to the take, once for all takes
    with the same prompt.

    Args:
        result: the take.
        model: the model that it was made with.
        path: the audio file.
        export: format, sample rate and bit depth of the file.
        tags: ``title``, ``artist``, ``album`` and so on, which replace the default ones.
        overwrite: whether existing files may be replaced.

    Returns:
        The sidecar.

    Raises:
        FileExistsError: if one of the two files exists and `overwrite` is False, or if a file
            that is no sidecar has the name of the sidecar.
        OSError: if writing failed.
        ValueError: if the format cannot hold the sample rate.
    """
    check_free(path, overwrite)
    sample_rate = export.sample_rate or result.sample_rate
    if export.format == "mp3" and sample_rate not in MP3_SAMPLE_RATES:
        raise ValueError(
            f"mp3 cannot hold {sample_rate} Hz; choose a sample rate of 44100 or 48000"
        )
    audio, gain = _resampled(result, sample_rate)
    if export.loudness is not None:
        factor = gain_for_loudness(audio, sample_rate, export.loudness)
        audio, gain = audio * np.float32(factor), gain * factor
    sidecar = _describe(result, model, path, export, sample_rate, gain, tags or {})
    sound = _encode(audio, sidecar)
    if export.format == "wav":
        sound = with_chunks(sound, _chunks(result, sidecar, len(audio), export.markers))
    _write_pair(path, sound, sidecar.to_json().encode(), overwrite)
    return sidecar


def _describe(
    result: GenerationResult,
    model: ModelIdentity,
    path: Path,
    export: ExportConfig,
    sample_rate: int,
    gain: float,
    tags: dict[str, str],
) -> Sidecar:
    """The sidecar of a take; what the take is made of is kept beside it."""
    return Sidecar(
        version=__version__,
        model=_refer_to(model, path),
        prompt=keep_prompt(path, result.prompt) if result.prompt else None,
        seed=result.seed,
        config=asdict(result.config),
        format=export.format,
        bit_depth=export.bit_depth or (24 if FORMATS[export.format] else None),
        sample_rate=sample_rate,
        duration_s=result.duration,
        gain=result.gain * gain,
        loudness=export.loudness,
        tags=tags,
        codes=StoredCodes.of(result.first_codes),
        base=_store_base(path, result),
        edits=[_store_edit(path, edit, result.sample_rate) for edit in result.edits],
    )


def _chunks(result: GenerationResult, sidecar: Sidecar, samples: int, markers: bool) -> list[bytes]:
    """Loop points of a loop; markers at the borders of chunks and edits, if they are wanted."""
    chunks = []
    if result.config.loop:
        chunks.append(loop_chunk(samples, sidecar.sample_rate))
    if markers:
        edited = {sample for edit in result.edits for span in edit.spans for sample in span}
        scale = samples / len(result.audio)
        places = sorted({round(place * scale) for place in {*result.boundaries, *edited}})
        chunks.append(marker_chunk([place for place in places if 0 < place < samples]))
    return chunks


def _refer_to(model: ModelIdentity, path: Path) -> ModelReference:
    return ModelReference(
        name=model.name,
        id=model.model_id,
        file=model.path.name,
        path=relative_path(path.parent, model.path),
        sha256=model.sha256,
        codes_id=model.codes_id,
    )


def _store_base(path: Path, result: GenerationResult) -> StoredBase | None:
    base = result.base
    if base is None:
        return None
    sound = None if base.sound is None else keep_sound(path, base.sound, result.sample_rate)
    return StoredBase(base.samples, base.trim_start, base.name, sound, base.gain)


def _store_edit(path: Path, edit: Edit, sample_rate: int) -> StoredEdit:
    return StoredEdit(
        operation=edit.operation,
        settings=edit.settings,
        config=asdict(edit.config),
        codes=StoredCodes.of(edit.codes),
        samples=edit.samples,
        gain=edit.gain,
        spans=[list(span) for span in edit.spans],
        sound=None if edit.sound is None else keep_sound(path, edit.sound, sample_rate),
        levels=None if edit.levels is None else list(edit.levels),
    )


def _write_pair(path: Path, audio: bytes, sidecar: bytes, overwrite: bool) -> None:
    """Write an audio file and its sidecar so that at any time one is not newer than the other.

    A sound that exists is replaced before its sidecar. Otherwise the sidecar is written first, so
    that no take is ever without one.
    """
    contents = [(sidecar_path(path), sidecar), (path, audio)]
    if os.path.exists(path):
        contents.reverse()
    (first, first_content), (second, second_content) = contents
    claimed = False
    try:
        with atomic_write(second, overwrite) as second_partial:
            second_partial.write_bytes(second_content)
            with atomic_write(first, overwrite) as first_partial:
                first_partial.write_bytes(first_content)
            claimed = not overwrite
    except BaseException:
        if claimed:
            first.unlink(missing_ok=True)
        raise


def write_named_take(
    result: GenerationResult,
    model: ModelIdentity,
    folder: Path,
    export: ExportConfig,
    tags: dict[str, str] | None = None,
) -> tuple[Path, Sidecar]:
    """Write a take to a folder, under a name that no other run takes at the same moment.

    Returns:
        The path of the audio file, and the sidecar.
    """
    while True:
        path = free_path(folder, model.name, result.seed, export)
        try:
            return path, write_take(result, model, path, export, tags)
        except FileExistsError:
            if not existing(path):
                raise


def check_free(path: Path, overwrite: bool) -> None:
    """Make sure that a take may be written to a path.

    Raises:
        FileExistsError: if the audio file or its sidecar exists and `overwrite` is False, or if
            something else has the name of the sidecar.
    """
    if not overwrite and (taken := existing(path)):
        raise FileExistsError(f"{taken} exists")
    beside = sidecar_path(path)
    if os.path.lexists(beside) and not is_sidecar(beside):
        raise FileExistsError(
            f"{beside} exists and does not describe a take; choose another name or move it"
        )


def _encode(audio: np.ndarray, sidecar: Sidecar) -> bytes:
    """The contents of the audio file that a sidecar describes.

    It is encoded in memory, since libsndfile does not say why a file could not be written.
    """
    form, model = sidecar.format, sidecar.model
    tags = {
        "title": f"{model.name} {sidecar.seed}",
        "artist": "Distill",
        "software": f"distill-prior-gen {sidecar.version}",
        "comment": f"seed {sidecar.seed}, model {model.name} {model.id}".strip(),
        **sidecar.tags,
    }
    tags = {
        name: value.encode("utf-8", "replace").decode().replace("\0", " ")
        for name, value in tags.items()
    }
    encoding = LOSSY.get(form) or {"subtype": SUBTYPES[sidecar.bit_depth]}
    buffer, channels = io.BytesIO(), 1 if audio.ndim == 1 else audio.shape[1]
    with soundfile.SoundFile(
        buffer, "w", sidecar.sample_rate, channels, format=form.upper(), **encoding
    ) as file:
        # Files of floats would have a chunk with the time of writing.
        soundfile._snd.sf_command(file._file, ADD_PEAK_CHUNK, soundfile._ffi.NULL, 0)
        for name, value in tags.items() if form != "mp3" else ():
            setattr(file, name, value)
        for start in range(0, len(audio), BLOCK_SIZE):
            file.write(audio[start : start + BLOCK_SIZE])
    return (id3(tags) if form == "mp3" else b"") + buffer.getvalue()


def _resampled(result: GenerationResult, sample_rate: int) -> tuple[np.ndarray, float]:
    """Samples at another rate, and the factor that keeps them within -1 and 1."""
    audio, rate = result.channels, result.sample_rate
    count = round(len(audio) * sample_rate / rate)
    if sample_rate != rate and result.config.loop:
        # The Fourier series of a loop is a loop at any sample rate.
        spectrum = np.fft.rfft(audio.astype(np.float64), axis=0)
        audio = np.fft.irfft(spectrum, count, axis=0) * (count / len(audio))
    elif sample_rate != rate:
        audio = soxr.resample(audio, rate, sample_rate, quality="VHQ")[:count]
        audio = np.pad(audio, ((0, count - len(audio)), (0, 0))[: audio.ndim])
    peak = max(1.0, float(np.abs(audio).max()))
    return (audio / peak).astype(np.float32), 1 / peak
