"""How takes look in a notebook."""

from __future__ import annotations

import base64
import io
from html import escape

import numpy as np
import soundfile

from distill_prior_gen.pictures import FLOOR_DB, png_uri, power_decibels


def player_html(
    channels: np.ndarray, sample_rate: int, log_mel: np.ndarray, loop: bool, caption: str
) -> str:
    """A picture and a player of a sound, as HTML that needs no other file.

    Args:
        channels: float32 ``[samples]``, or ``[samples, channel]``.
        sample_rate: in Hz.
        log_mel: log1p mel power, ``[n_mels, frames]``.
        loop: whether the player starts again at the end.
        caption: a line of text.
    """
    peak = max(1.0, float(np.abs(channels).max()))
    file = io.BytesIO()
    soundfile.write(file, channels / peak, sample_rate, format="FLAC", subtype="PCM_16")
    sound = base64.b64encode(file.getvalue()).decode()
    picture = png_uri(power_decibels(np.expm1(log_mel)), "magma", FLOOR_DB, 0)
    return (
        '<figure style="max-width:720px;margin:0">'
        f'<img alt="Mel spectrogram" src="{picture}" style="width:100%;height:160px;'
        'image-rendering:pixelated">'
        f'<audio controls{" loop" if loop else ""} src="data:audio/flac;base64,{sound}" '
        'style="width:100%"></audio>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )
