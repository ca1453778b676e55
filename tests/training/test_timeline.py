import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given
from hypothesis import strategies as st

from distill_prior_gen import GenerationConfig, generate, load_model
from distill_prior_gen.checkpoint import read_checkpoint
from distill_prior_gen.checkpoint.timeline import timeline_entries
from distill_prior_gen.networks.timeline import NUM_BINS
from distill_prior_gen.training.data import Dataset
from distill_prior_gen.training.descriptors import ColumnSums, describe
from distill_prior_gen.training.medley import (
    Encoding,
    bin_edges,
    encode_recordings,
    encode_whole,
    join_recordings,
    to_bins,
)
from distill_prior_gen.training.recording import Recording
from distill_prior_gen.training.settings import TimelineSettings, VQVAESettings
from distill_prior_gen.training.timeline import MAX_FILE_BYTES, train_timeline
from distill_prior_gen.training.vqvae import train_vqvae
from tests.helpers.models import SMALL, write_model

QUICK = TimelineSettings(width=32, epochs=8, batch_size=4, memory=12)


def tone(hertz, seconds=1.5, decay=0.0):
    time = torch.arange(round(seconds * SMALL.sample_rate)) / SMALL.sample_rate
    return torch.sin(2 * math.pi * hertz * time) * torch.exp(-decay * time)


@pytest.fixture(scope="module")
def dataset():
    """Decaying tones and steady ones."""
    pitches = (200, 300, 450, 700, 1000, 1500)
    recordings = [Recording(f"{p}.wav", tone(p, decay=(n % 2) * 4)) for n, p in enumerate(pitches)]
    return Dataset(recordings[:5], recordings[5:], SMALL, 0.5)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, dataset):
    """A model whose VQ-VAE was trained on the recordings."""
    settings = VQVAESettings(codebook_size=16, levels=2, codebook_dim=8, epochs=10)
    vqvae = train_vqvae(dataset, settings, "cpu").vqvae
    path = write_model(tmp_path_factory.mktemp("train") / "small.distill")
    contents = read_checkpoint(path).contents | {"model_state_dict": vqvae.state_dict()}
    torch.save(contents, path)
    return read_checkpoint(path)


@pytest.fixture(scope="module")
def trained(checkpoint, dataset):
    return train_timeline(checkpoint.build_vqvae(), dataset, QUICK, "cpu")


def test_a_recording_is_encoded_as_a_whole(checkpoint):
    vqvae, samples = checkpoint.build_vqvae(), tone(300, 2.0, decay=2)
    codes, sums = encode_whole(vqvae, SMALL, samples)
    mel = SMALL.log_mel(samples / samples.abs().max())
    expected = vqvae.encode(mel[None])[0]  # row by row
    rows, columns = checkpoint.grid[0], math.ceil(mel.shape[1] / 16)
    for row in range(rows):
        for column in range(len(codes)):
            token = codes[column].unflatten(0, (rows, -1))[row]
            assert token.equal(expected[row * columns + column])
    assert len(codes) == len(sums.power) == mel.shape[1] // 16


def test_encodings_differ_but_for_the_first(checkpoint, dataset):
    vqvae = checkpoint.build_vqvae()
    encodings = encode_recordings(vqvae, dataset, torch.Generator().manual_seed(0))
    assert len(encodings) == 8
    for encoding, recording in zip(encodings[0], dataset.training, strict=True):
        assert encoding.codes.equal(encode_whole(vqvae, SMALL, recording.samples).codes)
    pairs = zip(encodings[1], encodings[2], strict=True)
    assert not all(one.codes.equal(other.codes) for one, other in pairs)


def test_a_medley_marks_where_recordings_begin():
    encodings = [
        Encoding(
            torch.full((length, 3), length), ColumnSums(*torch.full((7, length), float(length)))
        )
        for length in (2, 4, 1)
    ]
    medley = join_recordings(encodings, torch.tensor([7, 5, 6]), frame_rate=16)
    assert medley.changed.tolist() == [1, 0, 1, 0, 0, 0, 1]
    assert medley.recording.tolist() == [7, 7, 5, 5, 5, 5, 6]
    assert medley.codes[:, 0].tolist() == [2, 2, 4, 4, 4, 4, 1]
    sums = ColumnSums(*torch.cat([torch.stack(each.sums) for each in encodings], dim=1))
    assert medley.descriptors.equal(describe(sums, 16))  # over the borders


@example([0.0, 1.0, 2.0, 3.0, 4.0, 1e-45, -1.0, -2.0, -3.0, -4.0, -5.0, -6.0])
@given(st.lists(st.floats(-100, 100), min_size=10, max_size=200, unique=True))
def test_each_bin_holds_a_tenth_of_the_columns(values):
    descriptors = torch.tensor(values)[:, None].repeat(1, 4)
    descriptors = torch.cat([descriptors, torch.full((7, 4), math.nan)])
    bins = to_bins(descriptors, bin_edges(descriptors))
    assert (bins[-7:] == NUM_BINS).all()
    counts = torch.bincount(bins[:-7, 0], minlength=NUM_BINS)
    if len(set(torch.tensor(values).tolist())) == len(values):
        assert len(counts) == NUM_BINS
        assert (counts - len(values) / NUM_BINS).abs().max() <= 1
    order = descriptors[:-7, 0].argsort()
    assert (bins[:-7, 0][order].diff() >= 0).all()


def test_the_network_learns_the_recordings(trained, checkpoint, dataset):
    """It predicts them far better than the frequency of the codes does."""
    network, vqvae = trained.network, checkpoint.build_vqvae()
    codes = [encode_whole(vqvae, SMALL, r.samples).codes for r in dataset.training]
    tokens = torch.cat(codes)
    share = torch.stack([torch.bincount(t, minlength=16) for t in tokens.unbind(1)]) / len(tokens)
    by_frequency = float(-(share * share.clamp(min=1e-9).log()).sum(dim=1).mean())
    losses = []
    with torch.no_grad():
        for number, columns in enumerate(codes):
            changed = torch.zeros(1, len(columns), dtype=torch.int64)
            changed[0, 0] = 1
            numbers = changed, torch.full_like(changed, number), torch.full((*changed.shape, 4), 10)
            condition = network.condition(*numbers)
            memory = network.remember(network.embed(columns[None], condition))
            logits = network.predict(memory[0, :-1], condition[0], columns)
            losses.append(float(F.cross_entropy(logits.flatten(0, 1), columns.flatten())))
    assert sum(losses) / len(losses) < 0.6 * by_frequency
    assert trained.history.epoch == len(trained.history.val_losses) == QUICK.epochs
    assert trained.metadata["training_perplexity"] < trained.metadata["held_out_perplexity"]


def test_the_same_seed_gives_the_same_network(trained, checkpoint, dataset):
    again = train_timeline(checkpoint.build_vqvae(), dataset, QUICK, "cpu").network
    for name, tensor in trained.network.state_dict().items():
        assert again.state_dict()[name].equal(tensor)


def test_the_file_holds_the_network_as_it_was_trained(trained, checkpoint, tmp_path):
    path = tmp_path / "whole.distill"
    torch.save(checkpoint.contents | timeline_entries(trained.network, trained.metadata), path)
    model = load_model(path, "cpu")
    for name, tensor in trained.network.state_dict().items():
        assert model.timeline.state_dict()[name].equal(tensor)
    assert generate(model, GenerationConfig(duration=2)).config.sampler == "timeline"
    assert path.stat().st_size - checkpoint.path.stat().st_size < MAX_FILE_BYTES


def test_a_network_that_would_be_too_large_is_narrower(dataset, tmp_path):
    large = write_model(tmp_path / "large.distill", codebook_size=2048, num_quantizers=4)
    settings = TimelineSettings(epochs=1, batch_size=2)
    network = train_timeline(read_checkpoint(large).build_vqvae(), dataset, settings, "cpu").network
    assert sum(t.numel() for t in network.parameters()) < MAX_FILE_BYTES / 2
    assert network.column.out_features < settings.width
