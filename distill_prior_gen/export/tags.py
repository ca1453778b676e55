"""Tags of MP3 files, in any language."""

from __future__ import annotations

FRAMES = {
    "title": "TIT2",
    "artist": "TPE1",
    "album": "TALB",
    "comment": "COMM",
    "date": "TYER",
    "genre": "TCON",
    "copyright": "TCOP",
    "license": "TXXX",
    "software": "TSSE",
}
"""Names of tags in ID3v2.3."""


def id3(tags: dict[str, str]) -> bytes:
    """Tags in the format ID3v2.3 with UTF-16, for the beginning of an MP3 file.

    libsndfile writes ID3 tags in Latin-1 only. Source: https://id3.org/id3v2.3.0
    """
    frames = b""
    for name, value in tags.items():
        frame = FRAMES[name]
        text = _utf16(value[:4] if frame == "TYER" else value)
        if frame == "COMM":
            text = b"eng" + _utf16("") + text
        elif frame == "TXXX":
            text = _utf16(name.upper()) + text
        content = b"\x01" + text
        frames += frame.encode() + len(content).to_bytes(4, "big") + b"\0\0" + content
    size = bytes(len(frames) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + size + frames


def _utf16(text: str) -> bytes:
    return ("\ufeff" + text + "\0").encode("utf-16-le")
