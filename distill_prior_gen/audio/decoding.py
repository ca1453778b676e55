"""Reading sound files in blocks, to their end, whatever length their headers claim."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from distill_prior_gen.audio.headers import parts, repairs
from distill_prior_gen.messages import REASONS, in_words, printable
from distill_prior_gen.regular_files import NotRegularFileError, open_regular

SAMPLE_RATES = (1000, 768_000)
"""Lowest and highest sample rate in Hz. Others are errors in a header."""

MAX_CHANNELS = 32

BLOCK_FRAMES = {"MP3": 1152}
"""Frames that are decoded at once, by format; 4096 for others. At the end of a truncated file, at
most this number of frames is lost."""

BUFFERING_FORMATS = ("FLAC", "MP3", "OGG")
"""Formats whose decoders still hold samples when the file has ended. Other decoders would invent
samples."""

ENDLESS_BYTES = 1 << 32
"""Bytes that are added to the size of a file whose decoder would stop too early."""

TAG_BYTES = 128
"""Bytes at the end of an mp3 file in which the decoder looks for a tag."""

HEADERLESS = {
    ".gsm": {"format": "RAW", "subtype": "GSM610", "samplerate": 8000, "channels": 1},
    ".vox": {"format": "RAW", "subtype": "VOX_ADPCM", "samplerate": 8000, "channels": 1},
}
"""Formats without a header, by suffix."""


class RecordingError(ValueError):
    """A recording that cannot be used.

    Attributes:
        path: the file.
        reason: what is wrong with it, such as "cannot be read: permission denied".
    """

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        self.path, self.reason = Path(path), printable(reason)
        super().__init__(f"{printable(path)} {self.reason}")


class SoundSource:
    """A sound file that is open for reading.

    Attributes:
        path: the file.
        rate: sample rate in Hz.
    """

    def __init__(self, path: Path, file: io.FileIO, thread: ThreadPoolExecutor) -> None:
        self.path, self._file, self._thread = path, file, thread
        self._parts = parts(file)
        self._repairs = repairs(file, self._parts[0][0])
        decoder = self._decoder(self._parts[0])
        self.rate, self._channels = decoder.samplerate, decoder.channels
        lowest, highest = SAMPLE_RATES
        if not lowest <= self.rate <= highest:
            raise RecordingError(
                path,
                f"has a sample rate of {self.rate} Hz; convert it to one from {lowest} to "
                f"{highest} Hz",
            )
        if self._channels > MAX_CHANNELS:
            raise RecordingError(
                path, f"has {self._channels} channels; export it with {MAX_CHANNELS} at most"
            )

    def sha256(self) -> str:
        """The SHA-256 of the file, in hexadecimal."""
        self._file.seek(0)
        return hashlib.file_digest(self._file, "sha256").hexdigest()

    def blocks(self, frames: int) -> Iterator[np.ndarray]:
        """All samples, float32 ``[frame, channel]``, in blocks of at most `frames`."""
        block, count = np.empty((frames, self._channels), np.float32), 0
        for part in self._parts:
            decoder = self._decoder(part)
            if (decoder.samplerate, decoder.channels) != (self.rate, self._channels):
                raise ValueError("its sample rate or its channels change within it")
            while read := self._call(decoder.bytes, decoder.fill, block[count:]):
                count += read
                if count == frames:
                    yield block
                    block, count = np.empty_like(block), 0
        if count:
            yield block[:count]

    def _decoder(self, part: tuple[int, int]) -> _Decoder:
        """A decoder at the beginning of a part. It closes when the last reference to it is gone."""
        source = _Bytes(self._file, *part, *self._repairs)
        options = HEADERLESS.get(self.path.suffix.lower(), {})
        return self._call(source, _Decoder, source, **options)

    def _call(
        self, source: _Bytes, function: Callable[..., Any], *arguments: Any, **options: Any
    ) -> Any:
        """Call `function` in another thread, since libsndfile's callbacks would lose Ctrl-C."""
        try:
            return self._thread.submit(function, *arguments, **options).result()
        finally:
            if source.error:
                raise source.error


class _Decoder(soundfile.SoundFile):
    """A sound file that is read from start to end, without seeking or trusting its length."""

    def __init__(self, source: _Bytes, **options: Any) -> None:
        super().__init__(source, "r", **options)
        self.bytes = source

    def seekable(self) -> bool:
        return False

    def fill(self, block: np.ndarray) -> int:
        """Read frames until a block is full or the file ends, and return their number.

        If a decoder fails at the end of the file, the file was truncated, and the sound before
        that place is used. In an mp3 file, data that is not sound is skipped.
        """
        step = BLOCK_FRAMES.get(self.format, 4096)
        count, stopped_at = 0, -1
        while count < len(block):
            if self.bytes.missing and self.format not in BUFFERING_FORMATS:
                break
            read = 0
            try:
                read = len(self.read(out=block[count : count + step]))
            except soundfile.LibsndfileError:
                if not (self.bytes.ended or self.bytes.endless):
                    raise
            if not read:
                if self.bytes.ended or not self.bytes.endless:
                    break
                if self.bytes.position == stopped_at:
                    raise ValueError("it is damaged")
                stopped_at = self.bytes.position
            count += read
        return count


class _Bytes:
    """The bytes of a file as libsndfile sees them.

    Args:
        file: the file.
        begin: start of the visible part.
        end: end of the visible part.
        replaced: bytes that replace those at some positions.
        endless: whether the file claims to be much longer than it is, so that an mp3 decoder reads
            to its end.

    Attributes:
        ended: whether the last read reached the end.
        missing: whether the last read returned nothing.
        error: error of the last read, which cannot be raised in libsndfile's callbacks.
    """

    def __init__(
        self, file: io.FileIO, begin: int, end: int, replaced: dict[int, bytes], endless: bool
    ) -> None:
        self.file, self.begin, self.size = file, begin, end - begin
        self.replaced, self.endless = replaced, endless
        self.claimed = self.size + (ENDLESS_BYTES if endless else 0)
        self.position, self.ended, self.missing = 0, False, False
        self.error: Exception | None = None

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.claimed}[whence]
        if start + offset < 0:
            return -1
        self.position, self.missing = start + offset, False
        return self.position

    def readinto(self, buffer: Any) -> int:
        try:
            return self._read(buffer)
        except Exception as error:
            self.error = error
            return 0

    def _read(self, buffer: Any) -> int:
        if self.endless and self.position >= self.size:
            left = self.claimed - self.position
            data = bytes(min(len(buffer), left) if 0 < left <= TAG_BYTES else 0)
        else:
            data = self._file_bytes(len(buffer))
        buffer[: len(data)] = data
        self.position += len(data)
        self.ended, self.missing = self.position >= self.size, not data
        return len(data)

    def _file_bytes(self, count: int) -> bytes:
        start = self.begin + self.position
        self.file.seek(start)
        data = self.file.read(max(0, min(count, self.size - self.position)))
        if data is None:
            raise BlockingIOError("it is not a regular file")
        for place, other in self.replaced.items():
            begin, end = max(place, start), min(place + len(other), start + len(data))
            if begin < end:
                data = (
                    data[: begin - start] + other[begin - place : end - place] + data[end - start :]
                )
        return data


@contextmanager
def open_recording(path: str | os.PathLike[str]) -> Iterator[SoundSource]:
    """Open a sound file. Every error with it becomes a `RecordingError`.

    Raises:
        RecordingError: if it cannot be read.
    """
    try:
        with open_regular(path) as file, ThreadPoolExecutor(1) as thread:
            if not os.fstat(file.fileno()).st_size:
                raise RecordingError(path, "is empty")
            yield SoundSource(Path(path), file, thread)
    except RecordingError:
        raise
    except NotRegularFileError as error:
        raise RecordingError(path, f"is {error.kind}, not a sound file") from error
    except Exception as error:
        if isinstance(error, soundfile.LibsndfileError):
            reason = error.error_string.removeprefix("Error : ").rstrip(".")
        elif isinstance(error, OSError) and error.errno:
            reason = REASONS.get(error.errno) or error.strerror
        else:
            reason = in_words(error)
        raise RecordingError(path, f"cannot be read: {reason}") from error
