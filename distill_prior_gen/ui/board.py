"""The board: the picture of a take, on which the browser selects what is drawn again.

`board.js` adds the playhead, the regions and the cursor. The pictures have one pixel for each bin
and code, and fill their elements exactly, so that places on them are places in the take.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from PIL import Image

from distill_prior_gen.networks.vqvae import STRIDE
from distill_prior_gen.pictures import FLOOR_DB, png, png_uri, uri
from distill_prior_gen.ui.board_controls import level_name
from distill_prior_gen.ui.pictures import decibels, hertz_ticks
from distill_prior_gen.ui.take import Listed, Take

MAX_TICKS = 7
"""Labels of the axis of time."""

SMALL = (96, 28)
"""Width and height of the pictures of the list in pixels."""

SMALL_FLOOR_DB = -60
"""Lower end of their colours, in dB relative to the loudest bin."""

THUMBNAIL_MARGIN_S = 0.25
"""Seconds around the changed part of an alternative that its small picture shows."""


def draw_board(take: Take) -> str:
    """HTML of the board of a take."""
    result = take.result
    maps = result.layout.maps(result.codes.unflatten(1, (take.rows, -1)))
    levels = result.codes.shape[-1]
    panels = [_panel("Hz", "mel", _mel_image(take), _hertz_labels(take))]
    for level in range(levels):
        images = "".join(_code_image(take, start, codes, level) for start, codes in maps)
        panels.append(_panel(level_name(level), f"strip level-{level}", images))
    rate = result.sample_rate
    facts = {
        "duration": result.duration,
        "edges": [round(edge, 6) for edge in take.column_edges()],
        "hertz": [round(hertz) for hertz in take.row_edges()],
        "levels": [level_name(level) for level in range(levels)],
        "boundaries": [boundary / rate for boundary in result.boundaries],
        "maps": [
            {
                "start": start / rate,
                "column": result.layout.column_samples / rate,
                "codes": codes.transpose(0, 1).tolist(),
            }
            for start, codes in maps
        ],
        "usage": [[round(share, 5) for share in shares] for shares in take.usage],
    }
    return (
        f'<div class="board" data-facts="{escape(json.dumps(facts), quote=True)}">'
        f'{"".join(panels)}<div class="seconds">{_second_labels(result.duration)}</div>'
        '<div class="playhead"></div></div><p class="cell" role="status"></p>'
    )


def draw_small(take: Take) -> bytes:
    """A small PNG of the spectrum of a take."""
    levels = Image.fromarray(decibels(take.result.audio, take.spectrogram))
    return png(np.asarray(levels.resize(SMALL, Image.Resampling.BOX)), "magma", SMALL_FLOOR_DB, 0)


def draw_list(pictures: list[bytes]) -> str:
    """A style sheet that puts small pictures of takes onto the list of them."""
    return _style("takes", [uri(picture) for picture in pictures])


def draw_thumbnails(states: Sequence[Listed]) -> str:
    """A style sheet that puts small pictures of what differs onto the choices of alternatives."""
    options = [take for take in states if isinstance(take, Take)]
    if len(options) < 2 or len(options) < len(states):
        return ""
    edits = options[-1].result.edits
    spans = edits[-1].spans if edits else ()
    rate = options[-1].result.sample_rate
    margin = round(THUMBNAIL_MARGIN_S * rate)
    begin = max(0, min((start for start, _ in spans), default=0) - margin)
    end = max((end for _, end in spans), default=0) + margin
    # In one, so that the loudest is the same for all.
    sounds = [take.result.audio[begin:end] for take in options]
    levels = decibels(np.concatenate(sounds), options[-1].spectrogram)
    borders = np.cumsum([len(sound) for sound in sounds[:-1]])
    frames = borders // options[-1].spectrogram.hop_length
    parts = np.split(levels, frames, axis=1)
    return _style("alternatives", [png_uri(part, "magma", FLOOR_DB, 0) for part in parts])


def _style(name: str, pictures: list[str]) -> str:
    """A style sheet that puts pictures onto choices."""
    rules = [
        f"#distill-prior-{name} label:nth-of-type({number})::after "
        f"{{ background-image: url({picture}); }}"
        for number, picture in enumerate(pictures, 1)
    ]
    return f"<style>{' '.join(rules)}</style>"


def _panel(label: str, kind: str, images: str, axis: str = "") -> str:
    return (
        f'<div class="panel {kind}"><div class="axis"><span class="name">{label}</span>{axis}</div>'
        f'<div class="plot">{images}</div></div>'
    )


def _mel_image(take: Take) -> str:
    result, hop = take.result, take.spectrogram.hop_length
    levels = decibels(result.audio, take.spectrogram)
    # A frame is centred at a multiple of the hop.
    place = _place(-hop / 2, levels.shape[1] * hop, len(result.audio))
    # The codes may reach higher than the bands.
    height = 100 * len(levels) / (take.rows * STRIDE)
    picture = png_uri(levels, "magma", FLOOR_DB, 0)
    return f'<img alt="" draggable="false" src="{picture}" style="{place}height:{height:.4f}%">'


def _code_image(take: Take, start: int, codes: Any, level: int) -> str:
    result = take.result
    place = _place(start, codes.shape[1] * result.layout.column_samples, len(result.audio))
    highest = max(1, int(result.codes.max()))
    picture = png_uri(codes[..., level].numpy(), "viridis", 0, highest)
    return f'<img alt="" draggable="false" src="{picture}" style="{place}height:100%">'


def _place(start: float, length: float, samples: int) -> str:
    return f"left:{100 * start / samples:.4f}%;width:{100 * length / samples:.4f}%;"


def _hertz_labels(take: Take) -> str:
    bands, names = hertz_ticks(take.spectrogram)
    scale = 100 / (take.rows * STRIDE)
    return "".join(
        f'<span style="bottom:{band * scale:.2f}%">{name}</span>'
        for band, name in zip(bands, names, strict=True)
    )


def _second_labels(duration: float) -> str:
    steps = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000)
    step = next((step for step in steps if duration / step <= MAX_TICKS), duration)
    seconds = np.arange(0, duration * 0.98, step)
    labels = [
        f'<span style="left:{100 * second / duration:.2f}%">{second:g}</span>' for second in seconds
    ]
    return f'{"".join(labels)}<span class="unit">seconds</span>'
