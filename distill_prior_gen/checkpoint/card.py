"""Model cards: what a model file holds, in Markdown."""

from __future__ import annotations

import html
import re
from typing import Any

from distill_prior_gen.checkpoint.provenance import TAGS

SPECIAL = re.compile(r"([\\`*_\[\]|#~])")
"""Characters that have a meaning in Markdown."""


def model_card(description: dict[str, Any], picture: str = "") -> str:
    """The card of a model: its recordings, sizes, figures and origin.

    Args:
        description: result of `describe_model`.
        picture: name of a picture next to the card, or "".

    Returns:
        Markdown. Texts from the file are escaped.
    """
    parts = [f"# {_escape(description['name'])}", _summary(description)]
    if picture:
        parts.append(f"![Losses, and held-out chunks with their reconstructions]({_link(picture)})")
    origin = description["provenance"]
    if origin:
        parts += ["## Recordings", _recordings(origin["recordings"])]
    parts += ["## Sizes", _table(("", ""), _sizes(description))]
    if figures := _figures(description):
        parts += ["## Figures", _table(("", ""), figures)]
    if origin:
        parts += ["## How it was made", _origin(description)]
    return "\n\n".join(parts) + "\n"


def _summary(description: dict[str, Any]) -> str:
    if origin := description["provenance"]:
        recordings = origin["recordings"]
        seconds = sum(recording["seconds"] for recording in recordings)
        held_out = sum(recording["held_out_seconds"] for recording in recordings)
        return (
            f"A model of {len(recordings)} recordings, {seconds:.1f} seconds in total, of which "
            f"{held_out:.1f} were held out to measure it."
        )
    text = "A model of recordings that its file does not list"
    if description["dataset"]:
        files = description["dataset_files"]
        count = f" ({files} files)" if files else ""
        text += f"; they were in a folder named {_escape(description['dataset'])}{count}"
    return f"{text}."


def _recordings(recordings: list[dict[str, Any]]) -> str:
    known = [tag for tag in TAGS if any(tag in recording for recording in recordings)]
    rows = [
        [
            _escape(recording["name"]),
            f"{recording['seconds']:.1f} s",
            f"{recording['held_out_seconds']:.1f} s" if recording["held_out_seconds"] else "",
            *(_escape(recording.get(tag, "")) for tag in known),
        ]
        for recording in recordings
    ]
    return _table(("recording", "length", "held out", *known), rows)


def _sizes(description: dict[str, Any]) -> list[list[str]]:
    rows = []
    if description["chunk_s"]:
        rate, chunk = description["sample_rate"], description["chunk_s"]
        rows.append(["sound", f"{rate} Hz, chunks of {chunk:g} s"])
    if codebook := description["codebook"]:
        grid = f"{codebook['rows']} bands x {codebook['columns']} steps a chunk"
        rows.append(["codes", f"{codebook['size']} x {codebook['levels']} levels, {grid}"])
    if prior := description["prior"]:
        shape = f"{prior['hidden_size']} hidden x {prior['layers']} layers, {prior['heads']} heads"
        rows.append(["prior", f"{shape}, {_millions(prior)}"])
    if timeline := description["timeline"]:
        shape = f"{timeline['width']} wide x {timeline['layers']} layers"
        memory = f"remembers {timeline['memory_s']:.1f} s"
        rows.append(["timeline prior", f"{shape}, {memory}, {_millions(timeline)}"])
    if vocoder := description["vocoder"]:
        shape = f"{vocoder['width']} wide x {vocoder['blocks']} blocks"
        rows.append(["vocoder", f"{shape}, {_millions(vocoder)}"])
    return [*rows, ["file", f"{description['size_bytes'] / 1e6:.1f} MB"]]


def _millions(network: dict[str, Any]) -> str:
    return f"{network['parameters'] / 1e6:.2f} million parameters"


def _figures(description: dict[str, Any]) -> list[list[str]]:
    rows = []
    if description["provenance"] and description["validation_loss"] is not None:
        epochs = description["training_epochs"]
        error = f"{description['validation_loss']:.3f} after {epochs} epochs"
        rows.append(["mel error of held-out recordings", error])
    codebook = description["codebook"] or {}
    for level, health in enumerate(codebook.get("health") or []):
        used = f"{health['utilization']:.0%} used, perplexity {health['perplexity']:.1f}"
        rows.append([f"codes of level {level}", used])
    for key, name in (("prior", "prior"), ("timeline", "timeline prior")):
        network = description[key] or {}
        if network.get("perplexity") is not None:
            epochs = f" after {network['epochs']} epochs" if network["epochs"] else ""
            rows.append([f"perplexity of the {name}", f"{network['perplexity']:.2f}{epochs}"])
    vocoder = description["vocoder"] or {}
    distances = [vocoder.get(k) for k in ("distance_db", "mel_griffin_lim_distance_db")]
    if None not in distances:
        text = f"{distances[0]:.2f} dB, with mel-griffin-lim {distances[1]:.2f} dB"
        rows.append(["held-out recordings through codes and vocoder differ by", text])
    if takes := description["evaluation"]:
        rows += map(list, describe_takes(takes))
    return rows


def describe_takes(evaluation: dict[str, float]) -> list[tuple[str, str]]:
    """Rows of a table about takes of a model compared with its recordings.

    Args:
        evaluation: result of `read_evaluation`.
    """
    distance, noise = evaluation["kernel"], evaluation["kernel_of_noise"]
    seconds = f"{evaluation['takes']:.0f} takes of {evaluation['seconds']:g} s"
    return [
        ("distance of takes from the recordings", f"{distance:.1f}; of white noise {noise:.1f}"),
        ("chunks of takes that copy a recording", f"{evaluation['copies']:.0%}, of {seconds}"),
    ]


def _origin(description: dict[str, Any]) -> str:
    origin, date = description["provenance"], description["saved"]
    fence = "`" * (1 + max(map(len, re.findall("`+", origin["command"])), default=2))
    began = f" The training began at {_escape(date)}." if date else ""
    return f"{fence}text\n{origin['command']}\n{fence}\n\nThe seed is {origin['seed']}.{began}"


def _table(head: tuple[str, ...], rows: list[list[str]]) -> str:
    lines = [list(head), ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _escape(text: str) -> str:
    return SPECIAL.sub(r"\\\1", html.escape(text, quote=False))


def _link(name: str) -> str:
    return f"<{html.escape(name)}>"
