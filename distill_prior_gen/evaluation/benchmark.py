"""This package's way beside the plain one, timed in one process.

The plain way is that of a first implementation: `nn.TransformerEncoder` over the
whole sequence for every token, one chunk after the other, each chunk inverted on its
own by torchaudio.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from distill_prior_gen.audio.joining import join_log_mels, overlap_add
from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.audio.recordings import RecordingError, find_recordings, read_mono
from distill_prior_gen.checkpoint import write_checkpoint
from distill_prior_gen.config import QUALITIES, GenerationConfig, Progress
from distill_prior_gen.evaluation.metrics import mel_fit
from distill_prior_gen.generation import generate_takes, invert_mel, sample_codes
from distill_prior_gen.messages import printable
from distill_prior_gen.model import PriorModel, load_model
from distill_prior_gen.networks.prior import Prior
from distill_prior_gen.networks.vqvae import VQVAE
from distill_prior_gen.sampling.filters import filter_logits
from distill_prior_gen.stopwatch import Stopwatch

logger = logging.getLogger("distill_prior_gen")

STAGES = ("sampling", "decoding", "inversion")
OVERLAP_S = 0.05
RUNS = 5
DECODED_S = 30
"""Seconds of decoded mels that vocoders are compared on."""


class PlainPrior(nn.Module):
    """The prior on top of ``nn.TransformerEncoder``, with the same weights and no cache."""

    def __init__(self, prior: Prior) -> None:
        super().__init__()
        hidden_size = prior.token_emb.embedding_dim
        layer = nn.TransformerEncoderLayer(
            hidden_size, prior.num_heads, 4 * hidden_size, batch_first=True, norm_first=True
        )
        layers = len(prior.transformer)
        self.prior = prior
        self.transformer = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.transformer.load_state_dict(prior.transformer.state_dict())
        self.eval()

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits ``[batch, token, codebook_size]`` of `tokens` ``[batch, token]``."""
        prior, length = self.prior, tokens.shape[1]
        positions = torch.arange(length, device=tokens.device)
        x = prior.token_emb(tokens) + prior.pos_emb(positions)
        x = x + prior.level_emb(positions % prior.num_quantizers)
        x = self.transformer(x, mask=prior.causal_mask[:length, :length])
        return prior.head(prior.ln_f(x))


def random_model() -> PriorModel:
    """A model of random weights: 128 codes x 3 levels, prior of 256 hidden x 4 layers."""
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
    """Time both ways of making `durations` seconds.

    Returns:
        A row for each stage and duration: ``stage``, ``seconds`` of sound, and the
        seconds that it took, ``plain`` and ``here``, with their ``ratio``; of short
        work the medians of several runs.
    """
    rows = []
    plain_prior = PlainPrior(model.prior)
    config = GenerationConfig(sampler="independent", seed=0)
    make(model, config, 1)  # leaves the costs of a first call out of the figures
    for index, seconds in enumerate(durations):
        progress(index / len(durations), f"{seconds} s of sound...")
        chunk_s = model.chunk_samples / model.sample_rate
        chunks = max(1, round(seconds / chunk_s))
        plain_runs = max(1, RUNS // seconds)
        here = [make(model, config, chunks) for _ in range(RUNS)]
        plain = [make_plainly(model, plain_prior, config, chunks) for _ in range(plain_runs)]
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


def make(model: PriorModel, config: GenerationConfig, chunks: int) -> dict[str, float]:
    """Seconds a stage of this package's way."""
    stopwatch = Stopwatch(model.device)
    with stopwatch("sampling"):
        tokens = sample_codes(model, chunks, config)
    codes = tokens.unflatten(1, (-1, model.num_quantizers))
    with stopwatch("decoding"):
        mels = model.decode(codes)
    frames = round(OVERLAP_S * model.sample_rate / model.spectrogram.hop_length)
    mel = join_log_mels(mels, frames)
    with stopwatch("inversion"):
        invert_mel(mel, model.spectrogram)
    return stopwatch.seconds


@torch.no_grad()
def make_plainly(
    model: PriorModel, prior: PlainPrior, config: GenerationConfig, chunks: int
) -> dict[str, float]:
    """Seconds a stage of the plain way."""
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
    overlap_add(torch.stack(pieces), round(OVERLAP_S * model.sample_rate))
    return stopwatch.seconds


def compare_vocoders(
    model: PriorModel, durations: Sequence[int], recordings: Path | None, progress: Progress
) -> list[dict[str, Any]]:
    """Time the vocoders and measure how well the mel of their sound fits the one asked for.

    Args:
        model: whose decoded mels are inverted.
        durations: seconds of sound to invert.
        recordings: a folder of audio files whose mels are inverted too, each cut to the
            longest of `durations`.
        progress: called after each vocoder.

    Returns:
        A row for each kind of mel, duration and vocoder: ``seconds`` of sound (at most), and
        as means over the mels ``time`` in seconds, ``l1``, ``convergence`` and ``onsets`` (see
        `mel_fit`), with ``time_ratio``, ``l1_ratio`` and ``convergence_ratio`` to torchaudio.
    """
    mels: dict[tuple[str, int], list[Tensor]] = {}
    for seconds in durations:
        config = GenerationConfig(duration=seconds, allow_long=True, quality="fast", seed=0)
        takes = generate_takes(model, config, max(1, DECODED_S // seconds))
        mels["decoded", seconds] = [take.mel for take in takes]
    if recordings:
        mels["recordings", max(durations)] = [
            model.spectrogram.log_mel(audio)
            for audio in read_recordings(recordings, model.sample_rate, max(durations))
        ]
    methods = [("torchaudio", QUALITIES[0]), *(("mel-griffin-lim", q) for q in QUALITIES)]
    rows: list[dict[str, Any]] = []
    for (kind, seconds), group in mels.items():
        reference: dict[str, Any] = {}
        for vocoder, quality in methods:
            progress(len(rows) / (len(mels) * len(methods)), f"{vocoder}, {kind} mels...")
            start = time.perf_counter()
            sounds = [invert_mel(mel, model.spectrogram, vocoder, quality) for mel in group]
            row = {"time": (time.perf_counter() - start) / len(group)}
            fits = [
                mel_fit(mel, sound, model.spectrogram)
                for mel, sound in zip(group, sounds, strict=True)
            ]
            row |= {key: sum(fit[key] for fit in fits) / len(fits) for key in fits[0]}
            reference = reference or row
            ratios = {f"{key}_ratio": row[key] / reference[key] for key in row if key != "onsets"}
            name = vocoder if vocoder == "torchaudio" else f"{vocoder} {quality}"
            rows.append({"mels": kind, "seconds": seconds, "vocoder": name, **row, **ratios})
    return rows


def read_recordings(folder: Path, sample_rate: int, seconds: float) -> list[Tensor]:
    """The beginnings of the sound files in a folder, see `read_mono`.

    Raises:
        ValueError: if none can be read.
    """
    recordings = []
    files, left_out = find_recordings(folder)
    for path in files:
        try:
            recordings.append(read_mono(path, sample_rate, seconds))
        except RecordingError as error:
            left_out[printable(path.relative_to(folder).as_posix())] = error.reason
    reasons = [f"{name} {reason}" for name, reason in left_out.items()]
    if not recordings:
        raise ValueError("; ".join([f"{printable(folder)} holds no recordings", *reasons]))
    for reason in reasons:
        logger.warning("%s", reason)
    return recordings
