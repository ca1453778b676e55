"""Pictures for pages."""

from __future__ import annotations

import base64
import io

import numpy as np
from matplotlib import colormaps
from PIL import Image

FLOOR_DB = -80
"""Lower end of the colour scale, in dB relative to the loudest bin."""


def power_decibels(power: np.ndarray) -> np.ndarray:
    """Powers in dB below the largest one."""
    return 10 * np.log10(np.maximum(power, 1e-10) / max(power.max(), 1e-10))


def png(values: np.ndarray, colours: str, low: float, high: float) -> bytes:
    """A PNG of ``[row, column]``, the first row at the bottom.

    Args:
        values: the values.
        colours: name of a colour map of matplotlib.
        low, high: values with the first and the last colour.
    """
    shares = (values[::-1] - low) / max(high - low, 1e-9)
    image = Image.fromarray((256 * shares).clip(0, 255).astype(np.uint8), "P")
    palette = (255 * colormaps[colours](np.arange(256))[:, :3]).round().astype(np.uint8)
    image.putpalette(palette.tobytes())
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


def uri(picture: bytes) -> str:
    """The URI of a PNG that holds its data."""
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}"


def png_uri(values: np.ndarray, colours: str, low: float, high: float) -> str:
    """The same as `png` as a URI."""
    return uri(png(values, colours, low, high))
