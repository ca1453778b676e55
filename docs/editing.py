"""Make the table of docs/editing.md and, with the demo model, its picture.

python docs/editing.py MODEL|demo [REGIONS]
"""

import sys
from pathlib import Path
from statistics import mean

import matplotlib.pyplot as plt
import numpy as np
import torch

from distill_prior_gen import (
    GenerationConfig,
    GenerationResult,
    PriorModel,
    Region,
    generate,
    load_model,
    redraw,
)
from distill_prior_gen.demo import demo_model
from distill_prior_gen.editing import redrawing
from distill_prior_gen.evaluation.metrics import change_metrics
from distill_prior_gen.networks.vqvae import STRIDE
from distill_prior_gen.ui.pictures import hertz_ticks

SECONDS, START, END = 6, 2.5, 3.5
LEVEL_S = 0.1
"""Time before and after a border whose levels are compared."""


def level_change(audio: np.ndarray, moment: int, width: int) -> float:
    """Difference of the level after a moment from that before it in dB, without sign."""
    before, after = audio[moment - width : moment], audio[moment : moment + width]
    levels = [10 * np.log10(np.square(part).mean() + 1e-8) for part in (before, after)]
    return float(abs(levels[1] - levels[0]))


def measure(model: PriorModel, regions: int, candidates: int, sampler: str) -> str:
    """A row: change at the borders of redrawn regions relative to the change elsewhere."""
    redrawing.CANDIDATES = candidates
    hop, width = model.spectrogram.hop_length, round(LEVEL_S * model.sample_rate)
    rows: list[dict[str, float]] = []
    for seed in range(regions):
        config = GenerationConfig(duration=SECONDS, seed=seed, sampler=sampler)
        take = generate(model, config)
        edited = redraw(model, take, [Region(START, END)], GenerationConfig(seed=seed + 10_000))
        changed = np.flatnonzero(np.abs(edited.audio / edited.gain - take.audio / take.gain) > 1e-6)
        if not len(changed):
            continue
        borders = [int(changed[0]), int(changed[-1])]
        mel = model.spectrogram.log_mel(torch.from_numpy(edited.audio))
        row = change_metrics(mel, [border / hop for border in borders], STRIDE)
        elsewhere = np.random.default_rng(seed).integers(width, len(take.audio) - width, 8)
        row["level"] = mean(level_change(edited.audio, b, width) for b in borders)
        row["level_elsewhere"] = mean(level_change(take.audio, int(b), width) for b in elsewhere)
        rows.append(row)
    m = {key: mean(row[key] for row in rows) for key in rows[0]}
    return (
        f"| {sampler}, {candidates} candidates | {m['border']:.2f} | {m['inside']:.2f} | "
        f"**{m['border'] / m['inside']:.2f}** | **{m['jump'] / m['jump_inside']:.2f}** | "
        f"{m['level']:.1f} dB | {m['level_elsewhere']:.1f} dB |"
    )


def plot(model: PriorModel, path: Path) -> None:
    """Plot a take, and the same with a second of it drawn again, twice."""
    take = generate(model, GenerationConfig(duration=SECONDS, seed=2))
    region = [Region(START, END)]
    edited = [redraw(model, take, region, GenerationConfig(seed=seed)) for seed in (1, 2)]
    panels: dict[str, GenerationResult] = {
        "take": take, "redrawn from 2.5 to 3.5 s": edited[0], "another one": edited[1],
    }  # fmt: skip
    figure, axes = plt.subplots(3, 1, figsize=(9, 6), sharex=True, layout="constrained")
    for ax, (title, result) in zip(axes, panels.items(), strict=True):
        mel = model.spectrogram.log_mel(torch.from_numpy(result.audio))
        decibels = 10 * torch.log10(mel.expm1() / mel.expm1().max() + 1e-10)
        ax.imshow(
            decibels, origin="lower", aspect="auto", cmap="magma", vmin=-80, vmax=0,
            extent=(0, SECONDS, 0, len(mel)),
        )  # fmt: skip
        for border in (START, END):
            ax.axvline(border, color="white", linewidth=0.6)
        ax.set_yticks(*hertz_ticks(model.spectrogram))
        ax.tick_params(labelsize=7)
        ax.set_title(title, loc="left", fontsize=10)
    axes[-1].set_xlabel("Time (s)")
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    model = load_model(demo_model() if sys.argv[1] == "demo" else sys.argv[1], "cpu")
    if sys.argv[1] == "demo":
        plot(model, Path(__file__).parent / "images" / "editing.png")
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    print("| | border | elsewhere | | jump | level at the borders | elsewhere |")
    print("|---|---|---|---|---|---|---|")
    for sampler in ("timeline", "continue") if model.timeline else ("continue",):
        for candidates in (1, 16):
            print(measure(model, count, candidates, sampler), flush=True)
