"""Make the tables of docs/coherence.md and, with the demo model, its picture.

python docs/coherence.py MODEL|demo RECORDINGS [TAKES]
"""

import sys
from pathlib import Path
from statistics import mean

import matplotlib.pyplot as plt
import torch

from distill_prior_gen import (
    GenerationConfig,
    GenerationResult,
    PriorModel,
    generate,
    generate_takes,
    load_model,
)
from distill_prior_gen.audio.recordings import find_recordings, read_mono
from distill_prior_gen.demo import demo_model
from distill_prior_gen.evaluation.metrics import change_metrics, second_metrics
from distill_prior_gen.networks.vqvae import STRIDE
from distill_prior_gen.sampling.continuous_layout import ContinuousLayout
from distill_prior_gen.ui.pictures import hertz_ticks

SECONDS = 10
METHODS = {
    "independent": {"sampler": "independent"},
    "independent, no overlap": {"sampler": "independent", "overlap": 0},
    **{
        f"continue, {fixed} fixed": {"sampler": "continue", "context_columns": fixed}
        for fixed in (1, 2, 3)
    },
}


def means(metrics: list[dict[str, float]]) -> dict[str, float]:
    """Mean of each metric."""
    return {key: mean(each[key] for each in metrics) for key in metrics[0]}


def repeats(takes: list[GenerationResult]) -> float:
    """Share of the chunks that are equal to an earlier chunk of any take."""
    chunks = torch.cat([take.codes for take in takes]).flatten(1)
    return 1 - len(chunks.unique(dim=0)) / len(chunks)


def print_takes(model: PriorModel, folder: Path, count: int) -> None:
    """Print how much mels change at chunk borders and over seconds, for each method."""
    hop, rate = model.spectrogram.hop_length, model.sample_rate
    second = rate // hop
    print("| | border | inside | | jump | inside | | neighbours | | spread | repeats |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    recordings = [read_mono(file, rate, SECONDS) for file in find_recordings(folder)[0]]
    long = [model.spectrogram.log_mel(r / r.abs().max()) for r in recordings if len(r) > 2 * rate]
    real = means([second_metrics(mel, second) for mel in long])
    print(f"| {len(long)} recordings | | | | | | | {real['neighbours']:.2f} | | "
          f"{real['spread']:.2f} | |")  # fmt: skip
    for name, settings in METHODS.items():
        config = GenerationConfig(duration=SECONDS, quality="fast", seed=0, **settings)
        takes = list(generate_takes(model, config, count))
        metrics = means(
            [
                change_metrics(take.mel, [b / hop for b in take.boundaries], STRIDE)
                | second_metrics(take.mel, second)
                for take in takes
            ]
        )
        border, inside = metrics["border"], metrics["inside"]
        jump, inside_jump = metrics["jump"], metrics["jump_inside"]
        neighbours = metrics["neighbours"]
        print(
            f"| {name} | {border:.2f} | {inside:.2f} | **{border / inside:.2f}** | {jump:.2f} | "
            f"{inside_jump:.2f} | **{jump / inside_jump:.2f}** | {neighbours:.2f} | "
            f"**{neighbours / real['neighbours']:.2f}** | {metrics['spread']:.2f} | "
            f"{repeats(takes):.0%} |"
        )


def print_loops(model: PriorModel, count: int) -> None:
    """Print how much the mel changes at the loop point and where the last chunk fades out.

    The mel is that of four repetitions of a loop; its changes elsewhere are for comparison.
    """
    hop = model.spectrogram.hop_length
    print("| | loop point | elsewhere | | jump | elsewhere | | closing fade | jump |")
    print("|---|---|---|---|---|---|---|---|---|")
    samplers = ["timeline"] if model.timeline else []
    for sampler in (*samplers, "continue", "independent"):
        for duration in (1, 2, 4, 8):
            config = GenerationConfig(sampler=sampler, duration=duration, loop=True, seed=0)
            points, closings = [], []
            for take in generate_takes(model, config, count):
                mel = model.spectrogram.log_mel(torch.from_numpy(take.audio).tile(4))
                turns = [turn * len(take.audio) / hop for turn in (1, 2, 3)]
                points.append(change_metrics(mel, turns, STRIDE))
                if isinstance(take.layout, ContinuousLayout):
                    column = take.layout.column_samples / hop
                    places = [turn + (take.layout.loop_overlap + 1) / 2 * column for turn in turns]
                    width = take.layout.loop_overlap * column
                    closings.append(change_metrics(mel, places, width))
            point, closing = means(points), means(closings or points)
            print(
                f"| {sampler}, {duration} s | {point['border']:.2f} | {point['inside']:.2f} | "
                f"**{point['border'] / point['inside']:.2f}** | {point['jump']:.2f} | "
                f"{point['jump_inside']:.2f} | **{point['jump'] / point['jump_inside']:.2f}** | "
                f"**{closing['border'] / closing['inside']:.2f}** | "
                f"**{closing['jump'] / closing['jump_inside']:.2f}** |"
            )


def plot(model: PriorModel, path: Path) -> None:
    """Plot takes of one seed: of independent chunks, of continued ones, whole, and a loop twice."""
    methods = {
        "independent": GenerationConfig(sampler="independent", seed=3),
        "continue": GenerationConfig(sampler="continue", seed=3),
        "timeline": GenerationConfig(sampler="timeline", seed=3),
        "loop of 5 seconds, twice": GenerationConfig(loop=True, duration=5, seed=3),
    }
    figure, axes = plt.subplots(4, 1, figsize=(9, 7), sharex=True, layout="constrained")
    for ax, (title, config) in zip(axes, methods.items(), strict=True):
        audio = torch.from_numpy(generate(model, config).audio)
        power = model.spectrogram.log_mel(audio.tile(2 if config.loop else 1)).expm1()
        level = 10 * torch.log10(power / power.max() + 1e-10)
        extent = (0, SECONDS, 0, len(level))
        ax.imshow(
            level, origin="lower", aspect="auto", cmap="magma", vmin=-80, vmax=0, extent=extent
        )
        ax.set_yticks(*hertz_ticks(model.spectrogram))
        ax.tick_params(labelsize=7)
        ax.set_title(title, loc="left", fontsize=10)
    axes[-1].set_xlabel("Time (s)")
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    model = load_model(demo_model() if sys.argv[1] == "demo" else sys.argv[1], "cpu")
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 60
    if sys.argv[1] == "demo":
        plot(model, Path(__file__).parent / "images" / "coherence.png")
    print_takes(model, Path(sys.argv[2]), count)
    print()
    print_loops(model, count)
