import pytest
import torch

from distill_prior_gen import GenerationConfig, generate_takes
from distill_prior_gen.evaluation.novelty import NO_RECORDING, Novelty, measure_novelty, nearest
from distill_prior_gen.training.data import Dataset
from distill_prior_gen.training.recording import Recording
from distill_prior_gen.training.vqvae import encode


def noises(model, count: int) -> Dataset:
    recordings = [
        Recording(str(seed), torch.randn(8000, generator=torch.Generator().manual_seed(seed)))
        for seed in range(count)
    ]
    return Dataset(recordings[1:], recordings[:1], model.spectrogram, 0.5)


def test_the_nearest_chunk_is_of_another_recording():
    codes = torch.tensor([[[0], [0]], [[0], [1]], [[1], [1]]])  # [chunk, position, level]
    mels = torch.tensor([0.0, 1.0, 5.0])[:, None, None].expand(3, 2, 2)
    owners = torch.tensor([0, 0, 1])
    found = nearest(codes, mels, owners, codes, mels, owners)
    assert found["equal_codes"].tolist() == [0.0, 0.5, 0.5]
    assert found["mel_distance"].tolist() == [5.0, 4.0, 4.0]
    no_owner = torch.tensor([NO_RECORDING])
    made = nearest(codes[:1], mels[:1], no_owner, codes, mels, owners)
    assert made["equal_codes"].tolist() == [1.0]
    assert made["mel_distance"].tolist() == [0.0]


def test_copies_show_up(model):
    """Codes of the recordings themselves."""
    dataset = noises(model, 5)
    copies = encode(model.vqvae, dataset, dataset.cut(dataset.training))
    summary = measure_novelty(model, dataset, copies).summary
    assert summary["copies"] == 1.0
    assert summary["takes"]["equal_codes"]["lowest"] == 1.0
    # Batches of other sizes are rounded otherwise.
    assert summary["takes"]["mel_distance"]["highest"] == pytest.approx(0, abs=1e-6)


def test_takes_that_are_new_are_not_copies(model):
    takes = generate_takes(model, GenerationConfig(duration=2, seed=0), 2)
    codes = torch.cat([take.codes for take in takes])
    novelty = measure_novelty(model, noises(model, 5), codes)
    assert novelty.summary["copies"] == 0.0
    assert len(novelty.takes["equal_codes"]) == len(codes)


def test_outliers_are_farther_than_recordings_are_from_each_other():
    measures = {"equal_codes": torch.zeros(4), "mel_distance": torch.tensor([1.0, 2.0, 3.0, 4.0])}
    summary = Novelty(takes=measures, recordings={
        "equal_codes": torch.zeros(2), "mel_distance": torch.tensor([0.5, 2.5])
    }).summary  # fmt: skip
    assert summary["outliers"] == 0.5
    assert summary["chunks"] == 4
    assert summary["takes"]["mel_distance"] == {"lowest": 1.0, "median": 2.5, "highest": 4.0}
