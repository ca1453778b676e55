"""Timing this package against a plain implementation, in one process.

The plain implementation is what one would write first: `nn.TransformerEncoder` reads the whole
sequence again for every token, chunks are sampled one after the other, and torchaudio inverts
each of them separately.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from distill_prior_gen.audio.decoding import RecordingError
from distill_prior_gen.audio.joining import join_log_mels, overlap_add
from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.audio.recordings import find_recordings, read_mono
from distill_prior_gen.checkpoint import write_checkpoint
from distill_prior_gen.config import QUALITIES, GenerationConfig, Progress
from distill_prior_gen.evaluation.metrics import mel_fit
from distill_prior_gen.generation import (
    generate_takes,
    invert_mel,
    sample_codes,
)
from distill_prior_gen.messages import printable
from distill_prior_gen.model import PriorModel, load_model
from distill_prior_gen.networks.prior import Prior
from distill_prior_gen.networks.vqvae import VQVAE
from distill_prior_gen.neural_vocoder import TRAINED
from distill_prior_gen.result import GenerationResult
from distill_prior_gen.sampling.filters import filter_logits
from distill_prior_gen.stopwatch import Stopwatch

logger = logging.getLogger("distill_prior_gen")

STAGES = ("sampling", "decoding", "inversion")
OVERLAP_SECONDS = 0.05

NUM_RUNS = 5
"""Number of runs of this package, and of the plain implementation for 1 s of sound."""

DECODED = "decoded"
"""Kind of mels that the model has decoded from codes."""

DECODED_SECONDS = 30
"""Duration of the decoded mels that vocoders are compared on."""


class PlainPrior(nn.Module):
    """A prior with the weights of another, on ``nn.TransformerEncoder`` and without a cache."""

    def __init__(self, prior: Prior) -> None:
        super().__init__()
        hidden_size = prior.token_emb.embedding_dim
        layer = nn.TransformerEncoderLayer(
            hidden_size, prior.num_heads, 4 * hidden_size, batch_first=True, norm_first=True
        )
        num_layers = len(prior.transformer)
        self.prior = prior
        self.transformer = nn.TransformerEncoder(layer, num_layers, enable_nested_tensor=False)
        self.transformer.load_state_dict(prior.transformer.state_dict())
        self.eval()

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits ``[batch, token, codebook_size]`` of int64 `tokens` ``[batch, token]``."""
        prior, length = self.prior, tokens.shape[1]
        positions = torch.arange(length, device=tokens.device)
        x = prior.token_emb(tokens) + prior.pos_emb(positions)
        x = x + prior.level_emb(positions % prior.num_quantizers)
        x = self.transformer(x, mask=prior.causal_mask[:length, :length])
        return prior.head(prior.ln_f(x))


def random_model() -> PriorModel:
    """A model with random weights: 128 codes x 3 levels, a prior with 256 hidden x 4 layers."""
    with torch.random.fork_rng(devices=[]), TemporaryDirectory() as folder:
        torch.manual_seed(0)
        path = Path(folder) / "random.distill"
        vqvae = VQVAE(codebook_dim=128, codebook_size=128, num_quantizers=3)
        prior = Prior(128, 144, 3, hidden_size=256, num_layers=4, num_heads=4)
        write_checkpoint(path, vqvae, prior, SpectrogramSettings())
        return load_model(path, "cpu")


def run_benchmark(
    model: PriorModel, durations: Sequence[int], progress: Progress
) -> list[dict[str, Any]]:
    """Time this package and the plain implementation.

    Args:
        model: model to generate with.
        durations: durations of the sound to generate, in seconds, at least 1.
        progress: called before each duration.

    Returns:
        A row for each duration and stage (`STAGES` and ``whole``): ``stage``; ``seconds``, the
        duration; ``plain`` and ``here``, the median times of both implementations in seconds;
        and ``ratio``, the first divided by the second.
    """
    rows = []
    plain_prior = PlainPrior(model.prior)
    config = GenerationConfig(sampler="independent", seed=0)
    time_package(model, config, 1)  # warm-up
    for index, seconds in enumerate(durations):
        progress(index / len(durations), f"{seconds} s of sound...")
        chunk_s = model.chunk_samples / model.sample_rate
        chunks = max(1, round(seconds / chunk_s))
        plain_runs = max(1, NUM_RUNS // seconds)
        here = [time_package(model, config, chunks) for _ in range(NUM_RUNS)]
        plain = [time_plain(model, plain_prior, config, chunks) for _ in range(plain_runs)]
        for run in (*plain, *here):
            run["whole"] = sum(run.values())
        for stage in (*STAGES, "whole"):
            times = {
                "plain": median(run[stage] for run in plain),
                "here": median(run[stage] for run in here),
            }
            ratio = times["plain"] / times["here"]
            rows.append({"stage": stage, "seconds": seconds, **times, "ratio": ratio})
    return rows


def time_package(model: PriorModel, config: GenerationConfig, chunks: int) -> dict[str, float]:
    """Time of each stage of this package in seconds."""
    stopwatch = Stopwatch(model.device)
    with stopwatch("sampling"):
        tokens = sample_codes(model, chunks, config)
    codes = tokens.unflatten(1, (-1, model.num_quantizers))
    with stopwatch("decoding"):
        mels = model.decode(codes)
    frames = round(OVERLAP_SECONDS * model.sample_rate / model.spectrogram.hop_length)
    mel = join_log_mels(mels, frames)
    with stopwatch("inversion"):
        invert_mel(mel, model.spectrogram)
    return stopwatch.seconds


@torch.no_grad()
def time_plain(
    model: PriorModel, prior: PlainPrior, config: GenerationConfig, chunks: int
) -> dict[str, float]:
    """Time of each stage of the plain implementation in seconds."""
    stopwatch = Stopwatch(model.device)
    generator = torch.Generator().manual_seed(0)
    filters = [config.per_level(field, 1)[0] for field in ("temperature", "top_k", "top_p")]

    def sample() -> Tensor:
        tokens = torch.randint(model.codebook_size, (1, 1), generator=generator)
        for _ in range(model.prior.seq_len - 1):
            logits = prior(tokens.to(model.device))[:, -1].cpu()
            kept = filter_logits(logits, *filters)
            token = torch.multinomial(kept.softmax(dim=-1), 1, generator=generator)
            tokens = torch.cat([tokens, token], dim=1)
        return tokens.unflatten(1, (-1, model.num_quantizers))

    pieces = []
    for _ in range(chunks):
        with stopwatch("sampling"):
            codes = sample()
        with stopwatch("decoding"):
            mel = model.decode(codes)[0]
        with stopwatch("inversion"):
            pieces.append(invert_mel(mel, model.spectrogram, "torchaudio"))
    overlap_add(torch.stack(pieces), round(OVERLAP_SECONDS * model.sample_rate))
    return stopwatch.seconds


def compare_vocoders(
    model: PriorModel, durations: Sequence[int], recordings: Path | None, progress: Progress
) -> list[dict[str, Any]]:
    """Time the vocoders, and measure how well their sound fits the mels it was made from.

    Args:
        model: model whose decoded mels are inverted.
        durations: durations of the decoded mels in seconds.
        recordings: folder with audio files; if given, their mels are inverted as well, each cut
            to the longest of `durations`.
        progress: called before each vocoder.

    Returns:
        A row for each kind of mel, duration and vocoder: ``mels``, the kind; ``seconds``, the
        duration, at most; ``vocoder``; ``time`` in seconds; ``l1``, ``convergence`` and
        ``onsets``, see `mel_fit`; and ``time_ratio``, ``l1_ratio`` and ``convergence_ratio``, the
        values relative to torchaudio. Values are means over the mels.

    Raises:
        ValueError: if none of the recordings can be read.
    """
    sources = _source_mels(model, durations, recordings)
    methods = [("torchaudio", QUALITIES[0]), *(("mel-griffin-lim", q) for q in QUALITIES)]
    rows: list[dict[str, Any]] = []
    for number, ((kind, seconds), mels) in enumerate(sources.items()):
        measured = {}
        for vocoder, quality in methods:
            progress(number / len(sources), f"{vocoder}, {kind} mels...")
            name = vocoder if vocoder == "torchaudio" else f"{vocoder} {quality}"
            measured[name] = _measure_vocoder(mels, model.spectrogram, vocoder, quality)
        if model.vocoder and kind == DECODED:
            for quality in QUALITIES:
                progress(number / len(sources), f"trained, {kind} mels...")
                measured[f"trained {quality}"] = _measure_trained(model, seconds, quality)
        reference = measured["torchaudio"]
        for name, row in measured.items():
            ratios = {f"{key}_ratio": row[key] / reference[key] for key in row if key != "onsets"}
            rows.append({"mels": kind, "seconds": seconds, "vocoder": name, **row, **ratios})
    return rows


def _source_mels(
    model: PriorModel, durations: Sequence[int], recordings: Path | None
) -> dict[tuple[str, int], list[Tensor]]:
    """Log-mels ``[n_mels, frames]`` by their kind and their duration in seconds."""
    mels: dict[tuple[str, int], list[Tensor]] = {}
    for seconds in durations:
        takes = _takes(model, seconds, "mel-griffin-lim", "fast")
        mels[DECODED, seconds] = [take.mel for take in takes]
    if recordings:
        longest = max(durations)
        mels["recordings", longest] = [
            model.spectrogram.log_mel(audio)
            for audio in read_recordings(recordings, model.sample_rate, longest)
        ]
    return mels


def _takes(model: PriorModel, seconds: int, vocoder: str, quality: str) -> list[GenerationResult]:
    config = GenerationConfig(
        duration=seconds, allow_long=True, vocoder=vocoder, quality=quality, seed=0
    )
    return list(generate_takes(model, config, max(1, DECODED_SECONDS // seconds)))


def _measure_trained(model: PriorModel, seconds: int, quality: str) -> dict[str, float]:
    """Like `_measure_vocoder` for the trained vocoder, which needs the codes as well.

    It corrects the decoded mel, so that a distance from it is no fault.
    """
    takes = _takes(model, seconds, TRAINED, quality)
    sounds = [torch.from_numpy(take.audio) / take.gain for take in takes]
    fits = [mel_fit(t.mel, s, model.spectrogram) for t, s in zip(takes, sounds, strict=True)]
    time = mean(take.timings["invert"] for take in takes)
    return {"time": time} | {key: mean(fit[key] for fit in fits) for key in fits[0]}


def _measure_vocoder(
    mels: Sequence[Tensor], spectrogram: SpectrogramSettings, vocoder: str, quality: str
) -> dict[str, float]:
    """Mean time in seconds of inverting a mel, and means of `mel_fit`."""
    start = time.perf_counter()
    sounds = [invert_mel(mel, spectrogram, vocoder, quality) for mel in mels]
    seconds = time.perf_counter() - start
    fits = [mel_fit(mel, sound, spectrogram) for mel, sound in zip(mels, sounds, strict=True)]
    return {"time": seconds / len(mels)} | {key: mean(fit[key] for fit in fits) for key in fits[0]}


def read_recordings(folder: Path, sample_rate: int, seconds: float) -> list[Tensor]:
    """Beginnings of the sound files in a folder, float32 ``[samples]`` each.

    Files that cannot be read are left out with a warning.

    Args:
        folder: folder with sound files; folders within it are searched as well.
        sample_rate: sample rate in Hz to resample to.
        seconds: maximum duration.

    Raises:
        ValueError: if none can be read.
    """
    recordings = []
    files, skipped = find_recordings(folder)
    for path in files:
        try:
            recordings.append(read_mono(path, sample_rate, seconds))
        except RecordingError as error:
            skipped[printable(path.relative_to(folder).as_posix())] = error.reason
    reasons = [f"{name} {reason}" for name, reason in skipped.items()]
    if not recordings:
        raise ValueError("; ".join([f"{printable(folder)} holds no recordings", *reasons]))
    for reason in reasons:
        logger.warning("%s", reason)
    return recordings
