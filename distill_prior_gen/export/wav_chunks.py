"""Chunks of WAV files that samplers and editors read: loop points and markers.

References:
    Multimedia Programming Interface and Data Specifications 1.0, IBM and Microsoft, 1991 (``cue``);
    Multiple Media Command and Sampler chunks in New Multimedia Data Types, Microsoft, 1994
    (``smpl``).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

UNITY_NOTE = 60
"""MIDI note at which a sampler plays the sound at its own pitch: middle C."""


def with_chunks(wav: bytes, chunks: Sequence[bytes]) -> bytes:
    """A WAV file with further chunks at its end."""
    body = wav[8:] + b"".join(chunks)
    return wav[:4] + struct.pack("<I", len(body)) + body


def loop_chunk(samples: int, sample_rate: int) -> bytes:
    """A ``smpl`` chunk of a sound that is one loop from its first to its last sample.

    Args:
        samples: length of the sound.
        sample_rate: in Hz.
    """
    period = round(1e9 / sample_rate)
    sampler = struct.pack("<9I", 0, 0, period, UNITY_NOTE, 0, 0, 0, 1, 0)
    forward_for_ever = struct.pack("<6I", 0, 0, 0, samples - 1, 0, 0)
    return _chunk(b"smpl", sampler + forward_for_ever)


def marker_chunk(places: Sequence[int]) -> bytes:
    """A ``cue`` chunk with markers at samples."""
    markers = b"".join(
        struct.pack("<II4sIII", number, place, b"data", 0, 0, place)
        for number, place in enumerate(places, 1)
    )
    return _chunk(b"cue ", struct.pack("<I", len(places)) + markers)


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content
