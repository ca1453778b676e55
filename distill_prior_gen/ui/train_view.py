"""What the tab Train model shows of recordings and trainings."""

from __future__ import annotations

import html
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from distill_prior_gen.checkpoint.card import describe_takes
from distill_prior_gen.training.data import MAX_FILES, MIN_EPOCH_CHUNKS, MIN_FILES
from distill_prior_gen.training.inspection import InspectedRecording
from distill_prior_gen.training.settings import (
    PriorSettings,
    TimelineSettings,
    VocoderSettings,
    VQVAESettings,
)
from distill_prior_gen.ui.training_jobs import DONE, FAILED, RUNNING, STOPPED, WAITING, Job

EPOCH_CHUNKS = {"timeline": 200, "vocoder": 450}
"""Steps of a VQ-VAE with this number of chunks take as long as an epoch of the stage."""

WIDTH, HEIGHT = 300, 110
"""Size of a plot of losses."""

STATES = {
    WAITING: "waits",
    RUNNING: "is being trained",
    DONE: "is ready",
    STOPPED: "was stopped",
    FAILED: "has failed",
}


def describe_recording(recording: InspectedRecording) -> str:
    """Name, length, level and warnings of a recording in one line."""
    parts = [recording.name]
    if recording.seconds:
        parts.append(f"{recording.seconds:.1f} s")
    if math.isfinite(recording.level):
        parts.append(f"{recording.level:.0f} dB")
    return ", ".join(parts) + "".join(f" ⚠ {text}" for text in recording.warnings)


def describe_plan(
    recordings: Sequence[InspectedRecording],
    ticked: Collection[str],
    vqvae_epochs: int,
    prior_epochs: int,
    more_stages: Collection[str],
    costs: Mapping[str, float],
) -> tuple[str, bool]:
    """What a training with the ticked recordings will be, and whether it is possible.

    Args:
        costs: result of `measure_chunk_costs`.
    """
    chosen = [item for item in recordings if item.name in ticked and item.usable]
    if not recordings:
        return "Choose recordings first.", False
    seconds, count = sum(item.seconds for item in chosen), len(chosen)
    sound = f"**{count} recordings, {seconds:.1f} seconds of sound.**"
    if not MIN_FILES <= count <= MAX_FILES:
        what = "more" if count < MIN_FILES else "fewer"
        return f"{sound} Training takes {MIN_FILES} to {MAX_FILES}; choose {what}.", False
    sizes = VQVAESettings.for_files(count)
    expected = estimate_seconds(count, seconds, vqvae_epochs, prior_epochs, more_stages, costs)
    return (
        f"{sound} About a fifth is held out to measure. The model gets {sizes.levels} levels of "
        f"{sizes.codebook_size} codes. At the speed that was measured, it takes about "
        f"{_minutes(expected)}.",
        True,
    )


def estimate_seconds(
    files: int,
    seconds: float,
    vqvae_epochs: int,
    prior_epochs: int,
    more_stages: Collection[str],
    costs: Mapping[str, float],
) -> float:
    """Expected time of a training in seconds."""
    chunks = max(MIN_EPOCH_CHUNKS, 0.8 * seconds)
    small, prior = PriorSettings(), PriorSettings.for_files(files)
    # The time for a token grows with the number of parameters.
    size = prior.layers * prior.hidden_size**2 / (small.layers * small.hidden_size**2)
    epochs = {
        "timeline": TimelineSettings.for_files(files).epochs,
        "vocoder": VocoderSettings.for_files(files).epochs,
    }
    return (
        vqvae_epochs * chunks * costs["VQ-VAE"]
        + prior_epochs * chunks * costs["prior"] * size
        + sum(epochs[stage] * EPOCH_CHUNKS[stage] * costs["VQ-VAE"] for stage in more_stages)
    )


def show_progress(job: Job | None, message: str) -> str:
    """How a training goes, as HTML.

    Args:
        job: the training, None if there was none.
        message: why it has failed or how it ended.
    """
    if job is None:
        return ""
    name = html.escape(job.output.stem)
    status = job.status
    if job.state == RUNNING:
        share = status.get("share", 0.0)
        text = html.escape(status.get("text", "Loading..."))
        return (
            f'<p role="status"><b>{name}</b> {STATES[RUNNING]}: {text}<br>'
            f"{_time_left(status.get('seconds_left'))}</p>"
            f'<progress max="1" value="{share:.3f}" aria-label="Progress"></progress>'
        )
    if job.state == DONE:
        return f'<p role="status"><b>{name} is ready.</b> It can be played in the Prior tab.</p>'
    fault = ' class="fault"' if job.state == FAILED else ""
    return f'<p role="status"{fault}><b>{name}</b> {STATES[job.state]}. {html.escape(message)}</p>'


def _time_left(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 90:
        return f"About {max(1, round(seconds))} seconds left."
    return f"About {_minutes(seconds)} left."


def _minutes(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    return f"{minutes} minute{'s' * (minutes > 1)}"


def show_verdicts(status: dict[str, Any]) -> str:
    """The verdicts of a training, as Markdown."""
    pairs = status.get("verdicts", [])
    return "\n".join(f"- **{kind[:1].upper()}{kind[1:]}.** {advice}" for kind, advice in pairs)


def show_curves(status: dict[str, Any]) -> str:
    """Plots of both losses of each stage, as HTML."""
    plots = [_plot(stage, losses) for stage, losses in status.get("stages", {}).items()]
    legend = "<p>Losses: dashed of training, solid of held-out recordings. Lower is better.</p>"
    return f'{legend}<div class="curves">{"".join(plots)}</div>' if plots else ""


def _plot(stage: str, losses: dict[str, Any]) -> str:
    train, val = losses["train_losses"], losses["val_losses"]
    values = [v for v in (*train, *val) if v is not None and math.isfinite(v)]
    low, high = min(values, default=0.0), max(values, default=1.0)
    span = (high - low) or 1.0
    steps = max(1, len(train) - 1)

    def points(series: Sequence[float | None]) -> str:
        return " ".join(
            f"{index / steps * WIDTH:.1f},{(high - value) / span * HEIGHT:.1f}"
            for index, value in enumerate(series)
            if value is not None and math.isfinite(value)
        )

    last = next((value for value in reversed(val) if value is not None), None)
    held_out = "" if last is None else f", held out {last:.3f}"
    caption = f"{html.escape(stage)}, epoch {len(train)}: training {train[-1]:.3f}{held_out}"
    return (
        f'<figure><svg viewBox="-2 -2 {WIDTH + 4} {HEIGHT + 4}" role="img" '
        f'aria-label="{caption}"><polyline class="train" points="{points(train)}"/>'
        f'<polyline class="held-out" points="{points(val)}"/></svg>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def show_result(result: dict[str, Any]) -> str:
    """How close a model and its takes come to recordings, as a Markdown table.

    Args:
        result: what ``train --json`` prints, or {}.
    """
    if not result:
        return ""
    rows = [("mel error of held-out recordings", f"{result['vqvae']['mel_error']:.3f}")]
    if prior := result["prior"]:
        alone = f"{prior['code_perplexity']:.1f} by the frequency of codes alone"
        rows.append(("perplexity of the prior", f"{prior['perplexity']:.2f}, {alone}"))
    if timeline := result["timeline"]:
        held_out = f"{timeline['held_out_perplexity']:.2f}"
        rows.append(("perplexity of the timeline prior for held-out recordings", held_out))
    if vocoder := result["vocoder"]:
        text = f"{vocoder['distance_db']:.2f} dB"
        reference = f"with mel-griffin-lim {vocoder['mel_griffin_lim_distance_db']:.2f} dB"
        rows.append(
            ("held-out recordings differ after codes and vocoder by", f"{text}, {reference}")
        )
    if takes := result["takes"]:
        rows = [*describe_takes(takes), *rows]
    lines = [("How close it comes", "lower is closer"), ("---", "---"), *rows]
    return "\n".join(f"| {left} | {right} |" for left, right in lines)


def newest_previews(folder: Path) -> dict[str, Path]:
    """The original, the newest reconstruction and the newest take of a training, if any."""
    kinds = {"original": ("0",), "copy": ("1", "4"), "take": ("2", "3")}
    found = sorted(path for path in folder.glob("*.wav") if path.name[:1].isdigit())
    newest = {
        kind: [path for path in found if path.name[0] in digits] for kind, digits in kinds.items()
    }
    return {kind: paths[-1] for kind, paths in newest.items() if paths}
