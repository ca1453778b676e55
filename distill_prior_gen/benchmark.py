"""This package's way beside the plain one, timed in one process.

The plain way is that of a first implementation: `nn.TransformerEncoder` over the
whole sequence for every token, one chunk after the other, each chunk inverted on its
own by torchaudio.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from distill_prior_gen.audio.joining import join_log_mels, overlap_add
from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.audio.vocoders import VOCODERS
from distill_prior_gen.checkpoint import write_checkpoint
from distill_prior_gen.config import GenerationConfig, Progress
from distill_prior_gen.model import PriorModel, load_model
from distill_prior_gen.models.prior import Prior
from distill_prior_gen.models.vqvae import VQVAE
from distill_prior_gen.sampling.autoregressive import sample_autoregressive
from distill_prior_gen.sampling.filters import filter_logits
from distill_prior_gen.sampling.streams import CODES, PHASE, stream

STAGES = ("sampling", "decoding", "inversion")
OVERLAP_S = 0.05


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
        seconds that it took, ``plain`` and ``here``, with their ``ratio``.
    """
    rows = []
    plain_prior = PlainPrior(model.prior)
    config = GenerationConfig(seed=0)
    make(model, config, 1)  # leaves the costs of a first call out of the figures
    for index, seconds in enumerate(durations):
        progress(index / len(durations), f"{seconds} s of sound...")
        chunk_s = model.chunk_samples / model.sample_rate
        chunks = max(1, round(seconds / chunk_s))
        here = make(model, config, chunks)
        plain = make_plainly(model, plain_prior, config, chunks)
        for stage in (*STAGES, "whole"):
            times = {"plain": plain[stage], "here": here[stage]}
            ratio = plain[stage] / here[stage]
            rows.append({"stage": stage, "seconds": seconds, **times, "ratio": ratio})
    return rows


def make(model: PriorModel, config: GenerationConfig, chunks: int) -> dict[str, float]:
    """Seconds a stage of this package's way."""
    stopwatch = Stopwatch()
    streams = [stream(0, CODES, chunk) for chunk in range(chunks)]
    codes = stopwatch(
        "sampling", sample_autoregressive, model, config, streams, lambda share, text: None
    )
    mels = stopwatch("decoding", model.decode, codes)
    frames = round(OVERLAP_S * model.sample_rate / model.spectrogram.hop_length)
    mel = join_log_mels(mels, frames)
    stopwatch("inversion", VOCODERS[config.vocoder], mel, model.spectrogram, stream(0, PHASE))
    return stopwatch.times()


@torch.no_grad()
def make_plainly(
    model: PriorModel, prior: PlainPrior, config: GenerationConfig, chunks: int
) -> dict[str, float]:
    """Seconds a stage of the plain way."""
    stopwatch = Stopwatch()
    generator = torch.Generator().manual_seed(0)

    def sample() -> Tensor:
        tokens = torch.randint(model.codebook_size, (1, 1), generator=generator)
        for _ in range(model.prior.seq_len - 1):
            logits = prior(tokens.to(model.device))[:, -1].cpu()
            kept = filter_logits(logits, config.temperature, config.top_k, config.top_p)
            token = torch.multinomial(kept.softmax(dim=-1), 1, generator=generator)
            tokens = torch.cat([tokens, token], dim=1)
        return tokens.unflatten(1, (-1, model.num_quantizers))

    invert = VOCODERS["torchaudio"]
    pieces = []
    for chunk in range(chunks):
        codes = stopwatch("sampling", sample)
        mel = stopwatch("decoding", model.decode, codes)[0]
        noise = stream(0, PHASE, chunk)
        pieces.append(stopwatch("inversion", invert, mel, model.spectrogram, noise))
    overlap_add(torch.stack(pieces), round(OVERLAP_S * model.sample_rate))
    return stopwatch.times()


class Stopwatch:
    """Adds up the seconds that calls take, by stage."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)

    def __call__(self, stage: str, work: Callable[..., Tensor], *arguments: Any) -> Tensor:
        start = time.perf_counter()
        result = work(*arguments)
        if result.is_cuda:
            torch.cuda.synchronize()
        self.seconds[stage] += time.perf_counter() - start
        return result

    def times(self) -> dict[str, float]:
        return self.seconds | {"whole": sum(self.seconds.values())}
