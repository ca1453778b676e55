import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distill_prior_gen import GenerationConfig, generate_takes
from distill_prior_gen.evaluation import novelty as novelty_module
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


@given(seed=st.integers(0, 1000), chunks=st.integers(1, 40), known=st.integers(2, 12))
def test_the_nearest_chunks_are_those_of_a_plain_search(seed, chunks, known):
    random = np.random.default_rng(seed)
    codes, known_codes = (random.integers(0, 3, (n, 4, 2)) for n in (chunks, known))
    mels, known_mels = (random.normal(size=(n, 3, 5)).astype(np.float32) for n in (chunks, known))
    owners, known_owners = random.integers(0, 3, chunks), np.arange(known) % 2
    found = nearest(
        torch.from_numpy(codes),
        torch.from_numpy(mels),
        torch.from_numpy(owners),
        torch.from_numpy(known_codes),
        torch.from_numpy(known_mels),
        torch.from_numpy(known_owners),
    )
    for chunk, owner in enumerate(owners):
        others = known_owners != owner
        equal = (known_codes[others] == codes[chunk]).mean(axis=(1, 2)).max()
        distance = np.abs(known_mels[others] - mels[chunk]).mean(axis=(1, 2)).min()
        assert float(found["equal_codes"][chunk]) == pytest.approx(equal, abs=1e-6)
        assert float(found["mel_distance"][chunk]) == pytest.approx(distance, abs=1e-5)


def test_chunks_of_the_only_recording_are_left_out(model):
    """Without another recording there is nothing to compare with, and nothing is an outlier."""
    owners = torch.tensor([0, 0])
    found = nearest(torch.ones(2, 4, 2), torch.ones(2, 3, 5), owners, torch.ones(2, 4, 2),
                    torch.ones(2, 3, 5), owners)  # fmt: skip
    assert {name: len(values) for name, values in found.items()} == {
        "equal_codes": 0, "mel_distance": 0
    }  # fmt: skip
    takes = {"equal_codes": torch.tensor([0.5]), "mel_distance": torch.tensor([2.0])}
    summary = Novelty(takes, found).summary
    assert summary["recordings"] == {}
    assert summary["outliers"] == 0.0


def test_large_sets_of_recordings_are_compared_in_part(model, monkeypatch):
    monkeypatch.setattr(novelty_module, "MAX_COMPARED", 4)
    dataset = noises(model, 5)
    codes = encode(model.vqvae, dataset, dataset.cut(dataset.training))
    shares = []
    found = measure_novelty(
        model, dataset, {"a": codes, "b": codes[:1]}, lambda share, text: shares.append(share)
    )
    assert len(found["a"].recordings["equal_codes"]) <= 4
    assert [len(found[name].takes["equal_codes"]) for name in "ab"] == [len(codes), 1]
    assert shares == sorted(shares)
    assert 0 <= shares[0] < shares[-1] <= 1


def test_copies_show_up(model):
    """Codes of the recordings themselves."""
    dataset = noises(model, 5)
    copies = encode(model.vqvae, dataset, dataset.cut(dataset.training))
    summary = measure_novelty(model, dataset, {"copies": copies})["copies"].summary
    assert summary["copies"] == 1.0
    assert summary["takes"]["equal_codes"]["lowest"] == 1.0
    # Batches of other sizes are rounded otherwise.
    assert summary["takes"]["mel_distance"]["highest"] == pytest.approx(0, abs=1e-6)


def test_takes_that_are_new_are_not_copies(model):
    takes = generate_takes(model, GenerationConfig(duration=2, seed=0), 2)
    codes = torch.cat([take.codes for take in takes])
    novelty = measure_novelty(model, noises(model, 5), {"takes": codes})["takes"]
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
