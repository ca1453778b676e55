import copy
import math
import random
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distill_prior_gen import GenerationConfig, filter_logits, load_model, sample_codes
from distill_prior_gen.config import no_progress
from distill_prior_gen.sampling import autoregressive
from distill_prior_gen.sampling.chunks import UNKNOWN, Chunk
from distill_prior_gen.sampling.random_streams import Purpose, random_generator
from distill_prior_gen.sampling.robust_draw import RobustDraw
from tests.helpers.filters import kept_codes
from tests.helpers.models import TINY, write_model

SAMPLING = [(1.0, 0, 0.0), (0.6, 0, 0.0), (1.0, 3, 0.0), (1.3, 0, 0.7), (0.8, 5, 0.9)]


@pytest.fixture(scope="module")
def two_token_model(tmp_path_factory):
    path = write_model(
        tmp_path_factory.mktemp("two") / "two.distill",
        spectrogram=TINY,
        chunk_duration=0.1,
        codebook_size=8,
        sharpness=4.0,
    )
    return load_model(path, "cpu")


@pytest.mark.slow
@pytest.mark.parametrize(("temperature", "top_k", "top_p"), SAMPLING)
def test_codes_have_the_distribution_that_the_prior_gives(
    two_token_model, temperature, top_k, top_p
):
    draws = 20_000
    config = GenerationConfig(temperature=temperature, top_k=top_k, top_p=top_p, seed=0)
    pairs = Counter(map(tuple, sample_codes(two_token_model, draws, config).tolist()))

    weights = torch.load(two_token_model.path, weights_only=True)["model_state_dict"]
    use = weights["quantizer.rvq.layers.0._codebook.cluster_size"][0].double().numpy()
    with torch.no_grad():
        logits = two_token_model.prior(torch.arange(8)[:, None])[:, 0].double().numpy()
    statistic = cells = 0.0
    for first, row in enumerate(logits):
        kept = sorted(kept_codes(row, temperature, top_k, top_p))
        probability = np.exp(row[kept] / temperature)
        probability *= use[first] / use.sum() / probability.sum()
        assert {second for f, second in pairs if f == first} <= set(kept)
        for second, share in zip(kept, probability, strict=True):
            if share * draws >= 5:
                statistic += (pairs[first, second] - share * draws) ** 2 / (share * draws)
                cells += 1
    # A chi-squared variable with `cells` degrees of freedom; 5 standard deviations.
    assert cells >= 8
    assert statistic < cells + 5 * (2 * cells) ** 0.5


@pytest.mark.slow
def test_first_token_is_uniform_where_the_file_lacks_the_use_of_codes(two_token_model, tmp_path):
    contents = torch.load(two_token_model.path, weights_only=True)
    del contents["model_state_dict"]["quantizer.rvq.layers.0._codebook.cluster_size"]
    path = tmp_path / "unused.distill"
    torch.save(contents, path)
    draws = 8_000
    codes = sample_codes(load_model(path, "cpu"), draws, GenerationConfig(seed=0))
    counts = torch.bincount(codes[:, 0], minlength=8)
    assert ((counts - draws / 8).square() / (draws / 8)).sum() < 7 + 5 * 14**0.5


@pytest.mark.slow
@settings(max_examples=15)
@given(
    seed=st.integers(0, 2**63 - 1),
    chunks=st.integers(1, 9),
    temperature=st.floats(0.1, 2),
    top_k=st.integers(0, 20),
    top_p=st.floats(0, 1),
    min_p=st.floats(0, 1),
)
def test_a_chunk_is_the_same_in_every_batch(model, seed, chunks, **settings):
    config = GenerationConfig(seed=seed, **settings)
    together = sample_codes(model, chunks, config)
    fewer = sample_codes(model, max(1, chunks // 2), config)
    assert together[: len(fewer)].equal(fewer)
    held = torch.full((math.prod(model.grid), model.num_quantizers), UNKNOWN)
    temperatures = (config.temperature,) * model.num_quantizers
    last = Chunk(random_generator(seed, Purpose.CODES, chunks - 1), held, temperatures)
    alone = autoregressive.sample_autoregressive(model, config, [last], no_progress)
    assert together[-1:].equal(alone.flatten(1))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_codes_are_the_same_on_cuda_and_on_the_cpu(model):
    config = GenerationConfig(temperature=1.3, top_p=0.95, seed=0)
    on_cuda = load_model(model.path, "cuda")
    assert on_cuda.prior.head.weight.is_cuda
    assert sample_codes(on_cuda, 50, config).equal(sample_codes(model, 50, config))


def test_codes_are_the_same_without_onednn(model, monkeypatch):
    config = GenerationConfig(temperature=1.3, top_p=0.95, seed=0)
    expected = sample_codes(model, 50, config)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert sample_codes(model, 50, config).equal(expected)


def test_the_batch_is_split_where_memory_asks_for_it(model, monkeypatch):
    config = GenerationConfig(seed=4)
    whole = sample_codes(model, 7, config)
    texts = []
    monkeypatch.setattr(autoregressive, "CACHE_BYTES", 1)
    assert sample_codes(model, 7, config, lambda share, text: texts.append(text)).equal(whole)
    assert list(dict.fromkeys(texts)) == [f"Generating chunk {i}/7..." for i in range(1, 8)]


@pytest.mark.parametrize("top_p", [0.0, 0.9])
@torch.no_grad()
def test_a_draw_does_not_depend_on_how_logits_were_rounded(model, top_p):
    """Uniform numbers right at the border between two codes are the worst case."""
    generator = torch.Generator().manual_seed(0)
    before = torch.randint(model.codebook_size, (64, 5), generator=generator)
    logits = model.prior(before)[:, -1]
    cumulative = filter_logits(logits, 1.0, 0, top_p).double().softmax(-1).cumsum(-1)
    border = cumulative.gather(1, torch.arange(64)[:, None] % 15).clamp(max=1 - 1e-9)
    rounding = 1e-6 * torch.randn(logits.shape, generator=generator)
    rounded = [logits + rounding, logits - rounding]
    draw = RobustDraw(model.codebook_size, model.num_quantizers, GenerationConfig(top_p=top_p))
    ones, exact = np.ones(64), copy.deepcopy(model.prior).double()
    drawn = [
        draw(
            variant.numpy(),
            border[:, 0].numpy(),
            ones,
            1,
            lambda lane: exact(before[lane : lane + 1])[0, -1],
        )
        for variant in rounded
    ]
    assert np.array_equal(drawn[0], drawn[1])

    # A plain draw would have told the two apart.
    plain = [filter_logits(variant, 1.0, 0, top_p).double().softmax(-1) for variant in rounded]
    one, other = (torch.searchsorted(p.cumsum(-1), border, right=True) for p in plain)
    assert not one.equal(other)


@given(
    seed=st.integers(0, 2**63 - 2),
    purpose=st.sampled_from([Purpose.CODES, Purpose.PHASE]),
    chunk=st.integers(0, 100),
)
def test_neighbouring_streams_share_nothing(seed, purpose, chunk):
    numbers = set(random_generator(seed, purpose, chunk).random(50))
    for other in (
        random_generator(seed + 1, purpose, chunk),
        random_generator(seed, purpose, chunk + 1),
        random_generator(seed, 1 - purpose, chunk),
        random_generator(seed + 1, purpose, max(0, chunk - 1)),
        random_generator((seed + 2**32) % 2**63, purpose, chunk),
    ):
        assert not numbers & set(other.random(50))


def test_neighbouring_seeds_share_no_chunks(model):
    config = [GenerationConfig(seed=seed, temperature=2.0, top_p=0.0) for seed in (1, 2)]
    chunks = [set(map(tuple, sample_codes(model, 10, c).tolist())) for c in config]
    assert not chunks[0] & chunks[1]
    assert len(chunks[0]) == 10


def test_global_random_generators_are_left_alone(model):
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    expected = (torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random())
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    load_model(model.path, "cpu")
    sample_codes(model, 2)
    assert (torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random()) == expected


def test_without_a_seed_every_call_draws_anew(model):
    assert not sample_codes(model, 2).equal(sample_codes(model, 2))


def test_codes_are_of_the_codebook(model):
    codes = sample_codes(model, 3, GenerationConfig(temperature=2.0, top_p=0.0, seed=0))
    height, width = model.grid
    assert codes.shape == (3, height * width * model.num_quantizers)
    assert codes.dtype == torch.int64
    assert codes.min() >= 0
    assert codes.max() < model.codebook_size


def test_logits_that_are_not_finite_are_an_error_with_chunk_and_step(model_path):
    damaged = load_model(model_path, "cpu")
    position = 5
    damaged.prior.pos_emb.weight[position] = 3e38
    with pytest.raises(FloatingPointError, match=rf"chunk 1, step {position + 1}\b"):
        sample_codes(damaged, 3, GenerationConfig(seed=0))


def test_progress_can_stop_the_work(model):
    def stop(share, text):
        if share > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample_codes(model, 4, GenerationConfig(seed=0), stop)
