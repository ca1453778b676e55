"""Lengths in the headers of sound files that are unknown or wrong, put right.

Recorders that crash leave them at 0 or at an earlier value, programs that write to a pipe cannot
know them, and an mp3 file mostly has none.
"""

from __future__ import annotations

import io
import os
import re
from typing import Literal

Order = Literal["little", "big"]
UNKNOWN = b"\xff\xff\xff\xff"
TAGS = (b"TAG", b"APE", b"ID3")
"""How tags begin that are put after the sound without a chunk."""


def repairs(file: io.FileIO) -> tuple[dict[int, bytes], bool]:
    """What to change in a sound file so that it is read to its end.

    Returns:
        Other bytes for some places in the file, and whether it should seem to have no end.
    """
    size = os.fstat(file.fileno()).st_size
    start = _after_tags(file)
    magic = _at(file, start, 4)
    if magic in (b"RIFF", b"RIFX", b"FORM"):
        order: Order = "little" if magic == b"RIFF" else "big"
        return _chunk_length(file, start + 12, size, order), False
    if magic == b"RF64":
        return _rf64_length(file, start + 12, size), False
    if magic == b"caff":
        return _chunk_length(file, start + 8, size, "big", width=8), False
    if magic in (b".snd", b"dns."):
        return {start + 8: UNKNOWN}, False
    if magic == b"fLaC":
        # The number of samples is in the last 36 bits of these 8 bytes; 0 means unknown.
        kept = int.from_bytes(_at(file, start + 18, 8), "big") >> 36 << 36
        return {start + 18: kept.to_bytes(8, "big")}, False
    if _is_mp3(magic):
        return _mp3_length(file, start)
    return {}, False


def _at(file: io.FileIO, place: int, count: int) -> bytes:
    file.seek(place)
    return file.read(count) or b""


def _after_tags(file: io.FileIO, start: int = 0) -> int:
    """The place after all ID3v2 tags at a place in a file."""
    while (head := _at(file, start, 10))[:3] == b"ID3" and len(head) == 10:
        length = 0
        for byte in head[6:]:
            length = length << 7 | byte & 0x7F
        start += 10 + length
    return start


def _chunk_length(
    file: io.FileIO, place: int, size: int, order: Order, width: int = 4
) -> dict[int, bytes]:
    """The length of the chunk that holds the sound, where it cannot be right.

    Args:
        place: of the first chunk.
        size: of the file.
        order: of the bytes of a length, "little" or "big".
        width: of a length, in bytes.
    """
    even = width == 4
    while len(head := _at(file, place, 4 + width)) == 4 + width:
        length = int.from_bytes(head[4:], order)
        begin = place + 4 + width
        if head[:4] in (b"data", b"SSND", b"BODY"):
            if length <= size - begin and _ends(file, begin, length, size, order, width):
                return {}
            whole = min(size - begin, (1 << 8 * width) - 1)
            return {place + 4: whole.to_bytes(width, order)}
        place = begin + length + (length % 2 if even else 0)
    return {}


def _rf64_length(file: io.FileIO, place: int, size: int) -> dict[int, bytes]:
    """As `_chunk_length`, for a length that stands in the chunk ``ds64``."""
    if _at(file, place, 4) != b"ds64":
        return {}
    length_place = place + 16
    length = int.from_bytes(_at(file, length_place, 8), "little")
    place += 8 + int.from_bytes(_at(file, place + 4, 4), "little")
    while len(head := _at(file, place, 8)) == 8:
        begin = place + 8
        if head[:4] == b"data":
            if length <= size - begin and _ends(file, begin, length, size, "little"):
                return {}
            return {length_place: (size - begin).to_bytes(8, "little")}
        place = begin + int.from_bytes(head[4:], "little")
    return {}


def _ends(
    file: io.FileIO, begin: int, length: int, size: int, order: Order, width: int = 4
) -> bool:
    """Whether a chunk with sound ends where its length says, and not later."""
    for place in (begin + length, begin + length + 1):  # some programs fill up to an even length
        after = _at(file, place, 4096)
        if re.match(rb"[ -~]{4}", after) and (
            int.from_bytes(after[4 : 4 + width], order) <= size - place
        ):
            return True
        if length and (len(after) < 4 + width or after.startswith(TAGS) or not any(after)):
            return True
    return False


def _mp3_length(file: io.FileIO, start: int) -> tuple[dict[int, bytes], bool]:
    """A length is in the first frame, without sound, or nowhere; then decoders make a guess.

    In files that were put together it is that of the first, and is hidden.
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
    """Whether a frame begins here."""
    return head[:1] == b"\xff" and head[1:2] >= b"\xe0"
