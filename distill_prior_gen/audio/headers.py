"""Repair of unknown or wrong lengths in the headers of sound files.

Recorders that crash leave a length of 0 or an earlier value, programs that write to a pipe do not
know the length, and most mp3 files have none.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from typing import Literal

Order = Literal["little", "big"]
UNKNOWN = b"\xff\xff\xff\xff"
SOUND_CHUNKS = (b"data", b"SSND", b"BODY")
"""Names of chunks that hold the sound."""

TRAILERS = (b"TAG", b"APE", b"ID3", b"LIST", b"bext", b"iXML", b"id3 ", b"smpl", b"cue ", b"JUNK")
"""Beginnings of tags and chunks that often follow the sound."""

MAX_REST = 0.01
"""Bytes after the sound that are ignored, relative to its length."""

MP3_CODING = b"\x55\0"
"""Format code of mp3 in a WAV file."""

MIN_OGG_DISTANCE = 1000
"""Smallest distance of the beginnings of two parts of an Ogg file in bytes."""

OGG_BLOCK_SIZE = 1 << 20
"""Bytes of an Ogg file that are searched at once."""


def repairs(file: io.FileIO, begin: int = 0) -> tuple[dict[int, bytes], bool]:
    """Find what must change in a sound file so that it is read to its end.

    Args:
        file: the file.
        begin: position of its first part.

    Returns:
        Bytes that replace others, by position, and whether the file should seem to have no end.
    """
    size = os.fstat(file.fileno()).st_size
    start = _after_tags(file, begin)
    magic = _at(file, start, 4)
    if magic in (b"RIFF", b"RF64", b"RIFX", b"FORM"):
        order: Order = "little" if magic in (b"RIFF", b"RF64") else "big"
        return _length_of_sound(file, start + 12, size, order), False
    if magic == b"caff":
        return _length_of_sound(file, start + 8, size, "big", width=8), False
    if magic in (b".snd", b"dns."):
        return {start + 8: UNKNOWN}, False
    if magic == b"fLaC":
        # The number of samples is in the last 36 bits of these 8 bytes; 0 means unknown.
        kept = int.from_bytes(_at(file, start + 18, 8), "big") >> 36 << 36
        return {start + 18: kept.to_bytes(8, "big")}, False
    if _is_mp3(magic):
        return _mp3_length(file, start)
    return {}, False


def parts(file: io.FileIO) -> list[tuple[int, int]]:
    """Beginnings and ends of the parts of a sound file that are decoded one after the other.

    Usually this is the whole file. Concatenated Ogg files have several parts, and mp3 in a WAV file
    begins after the header.
    """
    size = os.fstat(file.fileno()).st_size
    if _at(file, 0, 4) == b"RIFF":
        coding = b""
        for name, begin, _ in _chunks(file, 12, "little", 4):
            if name == b"fmt ":
                coding = _at(file, begin, 2)
            if name == b"data" and coding == MP3_CODING:
                return [(begin, size)]
    begins, last, place = [0], 0, 0
    while _at(file, 0, 4) == b"OggS" and len(data := _at(file, place, OGG_BLOCK_SIZE)) > 6:
        for page in re.finditer(rb"OggS\0\x02", data):
            # Headers that are closer belong to streams that play at the same time.
            if place + page.start() > last + MIN_OGG_DISTANCE:
                begins.append(place + page.start())
            last = place + page.start()
        place += OGG_BLOCK_SIZE - 5
    return list(zip(begins, [*begins[1:], size], strict=True))


def _at(file: io.FileIO, place: int, count: int) -> bytes:
    file.seek(place)
    return file.read(count) or b""


def _after_tags(file: io.FileIO, start: int = 0) -> int:
    """The position after all ID3v2 tags that begin at `start`."""
    while (head := _at(file, start, 10))[:3] == b"ID3" and len(head) == 10:
        length = 0
        for byte in head[6:]:
            length = length << 7 | byte & 0x7F
        start += 10 + length
    return start


def _length_of_sound(
    file: io.FileIO, place: int, size: int, order: Order, width: int = 4
) -> dict[int, bytes]:
    """Repair the length of the chunk that holds the sound, if it cannot be right.

    Args:
        file: a file of chunks, each with a name of 4 bytes and a length.
        place: position of the first chunk.
        size: size of the file.
        order: byte order of the lengths.
        width: number of bytes of a length.
    """
    known = 0
    for name, begin, length in _chunks(file, place, order, width):
        if name == b"ds64":
            known = begin + 8  # where RF64 stores the length of the data chunk
        if name in SOUND_CHUNKS:
            place = begin - width
            if known:
                place, width = known, 8
                length = int.from_bytes(_at(file, place, width), order)
            if length <= size - begin and _ends(file, begin, length, size, order, width):
                return {}
            whole = min(size - begin, (1 << 8 * width) - 1)
            return {place: whole.to_bytes(width, order)}
    return {}


def _chunks(
    file: io.FileIO, place: int, order: Order, width: int
) -> Iterator[tuple[bytes, int, int]]:
    """Name of each chunk, and position and length of its contents."""
    while len(head := _at(file, place, 4 + width)) == 4 + width:
        length = int.from_bytes(head[4:], order)
        yield head[:4], place + 4 + width, length
        place += 4 + width + length + (length % 2 if width == 4 else 0)


def _ends(file: io.FileIO, begin: int, length: int, size: int, order: Order, width: int) -> bool:
    """Whether the sound ends where its length says."""
    if length and size - begin - length <= MAX_REST * length:
        return True
    for place in (begin + length, begin + length + 1):  # some programs pad to an even length
        after = _at(file, place, 4096)
        fits = int.from_bytes(after[4 : 4 + width], order) <= size - place
        if re.match(rb"[ -~]{4}", after) and (fits or after.startswith(TRAILERS)):
            return True
        if length and (after.startswith(TRAILERS) or not any(after)):
            return True
    return False


def _mp3_length(file: io.FileIO, start: int) -> tuple[dict[int, bytes], bool]:
    """Hide the length in an mp3 file.

    A length may stand in a first frame without sound; otherwise decoders guess it. In concatenated
    files it is the length of the first one only.
    """
    tag = re.search(rb"Xing|Info", head := _at(file, start, 256))
    if not tag:
        return {}, True
    flags = int.from_bytes(head[tag.end() : tag.end() + 4], "big")
    place = tag.end() + (8 if flags & 1 else 4)
    end = start + int.from_bytes(head[place : place + 4], "big")
    if flags & 2 and _is_mp3(_at(file, _after_tags(file, end), 2)):
        return {start + tag.start(): bytes(4)}, True
    return {}, False


def _is_mp3(head: bytes) -> bool:
    """Whether bytes are the beginning of an mp3 frame."""
    return head[:1] == b"\xff" and head[1:2] >= b"\xe0"
