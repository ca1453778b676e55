"""Small model files for the tests: real networks with random weights."""

from __future__ import annotations

from pathlib import Path

import torch

from distill_prior_gen.audio.mel import SpectrogramSettings
from distill_prior_gen.checkpoint import read_checkpoint, write_checkpoint
from distill_prior_gen.checkpoint.timeline import timeline_entries
from distill_prior_gen.checkpoint.vocoder import vocoder_entries, vocoder_sizes
from distill_prior_gen.networks.prior import Prior
from distill_prior_gen.networks.timeline import TimelineNetwork
from distill_prior_gen.networks.vocoder import VocoderNetwork
from distill_prior_gen.networks.vqvae import VQVAE, grid_shape

FIXTURES = Path(__file__).resolve().parents[3] / "shared" / "fixtures"

SMALL = SpectrogramSettings(sample_rate=8000, n_fft=256, hop_length=64, n_mels=32)


TINY = SpectrogramSettings(sample_rate=8000, n_fft=256, hop_length=64, n_mels=16)
"""With chunks of 0.1 s one position a chunk, so that two levels are two tokens."""


def write_model(
    path: Path,
    *,
    name: str = "small",
    spectrogram: SpectrogramSettings = SMALL,
    chunk_duration: float = 0.5,
    codebook_dim: int = 8,
    codebook_size: int = 16,
    num_quantizers: int = 2,
    hidden_size: int = 16,
    num_layers: int = 2,
    num_heads: int = 2,
    with_prior: bool = True,
    seed: int = 0,
    sharpness: float = 20.0,
) -> Path:
    """Write a model of random weights; `sharpness` scales the logits of its prior."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vqvae = VQVAE(codebook_dim, codebook_size, num_quantizers)
        for layer in vqvae.quantizer.rvq.layers:
            layer._codebook.initted.fill_(True)
            layer._codebook.embed.normal_()
            layer._codebook.cluster_size.uniform_(0, 50)
        # Louder and more varied than a fresh decoder, whose output is nearly flat.
        with torch.no_grad():
            vqvae.decoder.deconvs[-2].get_parameter("weight").mul_(8)
        frames = spectrogram.frames(int(chunk_duration * spectrogram.sample_rate))
        height, width = grid_shape(spectrogram.n_mels, frames)
        seq_len = height * width * num_quantizers
        prior = Prior(codebook_size, seq_len, num_quantizers, hidden_size, num_layers, num_heads)
        with torch.no_grad():
            prior.head.weight.mul_(sharpness / hidden_size**0.5)
    write_checkpoint(
        path,
        vqvae,
        prior if with_prior else None,
        spectrogram,
        chunk_duration,
        metadata={"name": name, "dataset_name": "noise", "model_id": "1234"},
        prior_metadata={"best_perplexity": 4.5, "epochs_trained": 3},
        overwrite=True,
    )
    return path


def add_timeline(
    path: Path,
    width: int = 8,
    recordings: int = 4,
    sharpness: float = 20.0,
    seed: int = 0,
    memory: int = 6,
    **entries: object,
) -> Path:
    """Put a timeline prior of random weights into a model; `entries` replace what it writes."""
    checkpoint = read_checkpoint(path)
    codes = checkpoint.vqvae_shape
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = TimelineNetwork(
            rows=checkpoint.grid[0],
            levels=codes["num_quantizers"],
            codebook_size=codes["codebook_size"],
            width=width,
            num_layers=2,
            column_layers=1,
            memory=memory,
            recordings=recordings,
        )
        with torch.no_grad():
            network.head.weight.mul_(sharpness / width**0.5)
            network.recording.weight.normal_()
            network.described.weight.normal_()
            network.distance.normal_()
            network.start.normal_()
    torch.save(checkpoint.contents | timeline_entries(network, {}) | entries, path)
    return path


def add_vocoder(path: Path, width: int = 8, seed: int = 0, **entries: object) -> Path:
    """Put a vocoder of random weights into a model file; `entries` replace what it writes."""
    checkpoint = read_checkpoint(path)
    sizes = vocoder_sizes(
        checkpoint.spectrogram, checkpoint.grid, checkpoint.vqvae_shape["codebook_dim"]
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = VocoderNetwork(**sizes, width=width, num_blocks=2)
    contents = checkpoint.contents | vocoder_entries(network, {}) | entries
    torch.save(contents, path)
    return path
