"""Formats of audio files, and settings of files."""

from __future__ import annotations

from dataclasses import dataclass

from distill_prior_gen.validation import check_choice, check_number

FORMATS: dict[str, tuple[int, ...]] = {"wav": (16, 24, 32), "flac": (16, 24), "ogg": (), "mp3": ()}
"""Audio file formats and their bit depths, where 32 is float. Lossy formats have none."""

LOUDNESS_LIMITS = (-60.0, 0.0)
"""Quietest and loudest file in LUFS."""

TRUE_PEAK_DB = -1.0
"""Highest peak between samples of a file whose loudness is set, in dB relative to full scale."""

LOOP_NOTES = {
    "ogg": "OGG keeps the length of a loop, but changes its ends a little; WAV and FLAC are exact",
    "mp3": "MP3 is not made for loops: its ends do not fit together, and players may put silence "
    "between them; use WAV or FLAC",
}
"""What lossy formats do to loops."""

SAMPLE_RATES = (44_100, 48_000, 96_000)
MP3_SAMPLE_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)


@dataclass(frozen=True)
class ExportConfig:
    """Settings of the audio file that a take is written to.

    Args:
        format: one of `FORMATS`.
        sample_rate: sample rate in Hz, one of `SAMPLE_RATES`; None keeps the model's.
        bit_depth: 16, 24 or, for WAV, 32 (float); None is 24 for formats with a bit depth.
        loudness: in LUFS; None keeps that of the take. Peaks stay below `TRUE_PEAK_DB`.
        markers: whether a WAV file has markers at the borders of chunks and of edited parts.

    Raises:
        ValueError: naming the field, its value and what it may be.
    """

    format: str = "wav"
    sample_rate: int | None = None
    bit_depth: int | None = None
    loudness: float | None = None
    markers: bool = False

    def __post_init__(self) -> None:
        check_choice("format", self.format, FORMATS)
        if self.loudness is not None:
            check_number("loudness", self.loudness, *LOUDNESS_LIMITS)
        if self.markers and self.format != "wav":
            raise ValueError(f"markers are for wav only, not for {self.format}")
        if self.sample_rate not in (None, *SAMPLE_RATES):
            rates = ", ".join(map(str, SAMPLE_RATES))
            raise ValueError(f"sample_rate must be one of {rates}, not {self.sample_rate!r}")
        if self.format == "mp3" and self.sample_rate not in (None, *MP3_SAMPLE_RATES):
            raise ValueError(f"sample_rate must be 44100 or 48000 for mp3, not {self.sample_rate}")
        depths = FORMATS[self.format]
        if self.bit_depth is not None and self.bit_depth not in depths:
            allowed = " or ".join(map(str, depths)) or "left out"
            raise ValueError(
                f"bit_depth must be {allowed} for {self.format}, not {self.bit_depth!r}"
            )
