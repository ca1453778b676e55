"""Takes that hold together: chunks that continue each other, levels, temperature over time."""

import math
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distill_prior_gen import GenerationConfig, generate, generate_takes, load_model
from distill_prior_gen.config import no_progress
from distill_prior_gen.hookspecs import hookimpl
from distill_prior_gen.networks.cached_prior import CachedPrior
from distill_prior_gen.sampling import autoregressive
from distill_prior_gen.sampling.autoregressive import sample_autoregressive
from distill_prior_gen.sampling.chunks import UNKNOWN, Chunk
from distill_prior_gen.sampling.continuous_layout import ContinuousLayout
from distill_prior_gen.sampling.random_streams import Purpose, random_generator
from distill_prior_gen.sampling.schedule import wavefront_schedule
from tests.helpers.filters import kept_codes
from tests.helpers.models import TINY, write_model
from tests.helpers.plugins import registered

COLUMN = 16 * 64
"""Samples of a column of codes of the small model; four of them are a chunk, the last filled up."""


def columns(take, model):
    """The codes of a take's chunks, ``[chunk, H, W, level]``."""
    return take.codes.unflatten(1, model.grid)


@pytest.mark.slow
@settings(max_examples=10)
@given(
    seed=st.integers(0, 2**32),
    held=st.integers(1, 16),
    duration=st.floats(1, 3),
    loop=st.booleans(),
)
def test_a_chunk_begins_with_the_last_columns_of_the_one_before(model, seed, held, duration, loop):
    config = GenerationConfig(seed=seed, context_columns=held, duration=duration, loop=loop)
    chunks = columns(generate(model, config), model)
    held = min(held, 1 if loop else 2)
    pairs = list(pairwise(chunks))
    for before, after in pairs[:-1] if loop else pairs:
        assert after[:, :held].equal(before[:, 3 - held : 3])


def test_independent_chunks_do_not(model):
    chunks = columns(generate(model, GenerationConfig(sampler="independent", seed=0)), model)
    equal = [after[:, 0].equal(before[:, 2]) for before, after in pairwise(chunks)]
    assert not any(equal)


@pytest.mark.parametrize("held", [1, 2])
def test_the_chunks_are_decoded_as_one_map(model, held):
    take = generate(model, GenerationConfig(seed=4, duration=2, context_columns=held))
    chunks = columns(take, model)
    whole = [*chunks[0].unbind(1)[:3]]
    for chunk in chunks[1:]:
        whole += chunk.unbind(1)[held:3]
    whole.append(chunks[-1][:, 3])
    codes = torch.stack(whole, dim=1)
    with torch.no_grad():
        embeddings = model.vqvae.codes_to_embeddings(codes.flatten(0, 1)[None], codes.shape[:2])
        mel = model.vqvae.decode(embeddings, 32, 16 * len(whole))[0]
    torch.testing.assert_close(take.mel, mel[:, : take.mel.shape[1]])
    borders = [3 + (3 - held) * chunk for chunk in range(len(chunks) - 1)]
    assert take.boundaries == [round((border - 0.5) * COLUMN) for border in borders]


def test_a_map_is_decoded_alike_by_pieces(model, monkeypatch):
    codes = torch.randint(16, (2, 23, 2), generator=torch.Generator().manual_seed(0))
    for loop in (False, True):
        monkeypatch.setattr("distill_prior_gen.model.MAX_DECODED_POSITIONS", 64)
        whole = model.decode_map(codes, loop)
        monkeypatch.setattr("distill_prior_gen.model.MAX_DECODED_POSITIONS", 1)
        torch.testing.assert_close(model.decode_map(codes, loop), whole)
    turned = model.decode_map(codes.roll(5, dims=1), loop=True)
    torch.testing.assert_close(turned, whole.roll(5 * 16, dims=1))


def test_a_longer_take_goes_on_with_the_same_music(model):
    short, long = (generate(model, GenerationConfig(duration=d, seed=5)) for d in (1.5, 6))
    assert long.codes[: len(short.codes)].equal(short.codes)
    same = 16 * (3 + (len(short.codes) - 1)) - 16
    torch.testing.assert_close(long.mel[:, :same], short.mel[:, :same])


@pytest.mark.slow
@pytest.mark.parametrize("loop", [False, True])
def test_takes_that_are_made_together_are_those_made_alone(model, loop):
    together = generate_takes(model, GenerationConfig(duration=2, seed=8, loop=loop), 3)
    for take in together:
        alone = generate(model, take.config)
        assert take.codes.equal(alone.codes)
        assert take.audio == pytest.approx(alone.audio, abs=1e-5)


@pytest.mark.slow
@settings(max_examples=15)
@given(
    seed=st.integers(0, 2**32),
    held=st.integers(1, 2),
    duration=st.floats(1, 4),
    loop=st.booleans(),
    takes=st.integers(1, 3),
    size=st.integers(1, 7),
)
def test_chunks_that_follow_by_a_row_are_those_drawn_one_after_the_other(
    model, seed, held, duration, loop, takes, size
):
    class Patient:
        @hookimpl
        def distill_register_prior_samplers(self, register):
            register("patient", sample_autoregressive, continues=True)

    config = GenerationConfig(seed=seed, context_columns=held, duration=duration, loop=loop)
    plugin = Patient()
    with pytest.MonkeyPatch.context() as patch:
        memory = size * CachedPrior.bytes_per_sequence(model.prior)
        patch.setattr(autoregressive, "CACHE_BYTES", memory)
        at_once = list(generate_takes(model, config, takes))
        patch.undo()
        with registered(plugin):
            patient = generate_takes(model, replace(config, sampler="patient"), takes)
            for one, other in zip(at_once, patient, strict=True):
                assert one.codes.equal(other.codes)


@given(
    sources=st.lists(st.sets(st.integers(1, 4), max_size=2), max_size=12),
    height=st.integers(1, 5),
    size=st.integers(1, 5),
)
def test_every_row_has_its_turn_after_the_rows_that_it_needs(sources, height, size):
    sources = [{n - back for back in s if back <= n} for n, s in enumerate(sources)]
    done = [0] * len(sources)
    for batch in wavefront_schedule(sources, height, size):
        assert len(batch) <= size
        assert len({chunk for chunk, _ in batch}) == len(batch)
        assert any(row == done[chunk] for chunk, row in batch)
        for chunk, row in batch:
            assert all(done[source] > row for source in sources[chunk])
            assert row == min(done[chunk], height - 1)
        for chunk, row in batch:
            done[chunk] = max(done[chunk], row + 1)
    assert done == [height] * len(sources)


def test_as_many_chunks_of_a_take_are_drawn_at_once_as_they_have_rows():
    chain = [set[int](), *({n} for n in range(18))]
    batches = list(wavefront_schedule(chain, 8, 100))
    assert len(batches) == 18 + 8
    assert max(map(len, batches)) == 8


def test_the_former_name_of_the_independent_sampler_is_known(model):
    old, new = (
        generate(model, GenerationConfig(duration=1, seed=3, sampler=name))
        for name in ("autoregressive", "independent")
    )
    assert old.config == new.config
    assert (old.audio == new.audio).all()


@torch.no_grad()
def drawn_plainly(model, chunk, top_k, top_p):
    """Token by token through the whole network in float64, with the same random numbers."""
    prior = load_model(model.path, "cpu").prior.double()
    uniforms, tokens = chunk.generator.random(prior.seq_len), chunk.fixed.flatten().clone()
    for step, held in enumerate(chunk.fixed.flatten().tolist()):
        if held != UNKNOWN:
            continue
        level = step % prior.num_quantizers
        if step == 0:
            logits, kept = model.first_token_weights.log().double().numpy(), set(range(16))
        else:
            logits = prior(tokens[None, :step])[0, -1].numpy() / chunk.temperature[level]
            kept = kept_codes(logits, 1.0, top_k[level], top_p[level])
        probability = np.zeros(16)
        probability[sorted(kept)] = np.exp(logits - logits.max())[sorted(kept)]
        cumulative = (probability / probability.sum()).cumsum()
        tokens[step] = int(np.searchsorted(cumulative, uniforms[step], side="right"))
    return tokens.view_as(chunk.fixed)


@pytest.mark.slow
@settings(max_examples=15)
@given(
    seed=st.integers(0, 2**32),
    shares=st.lists(st.floats(0, 1), min_size=1, max_size=4),
    temperature=st.tuples(st.floats(0.3, 2), st.floats(0.3, 2)),
    top_k=st.tuples(st.integers(0, 16), st.integers(0, 16)),
    top_p=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_fixed_codes_are_kept_and_the_others_follow_them(
    model, seed, shares, temperature, top_k, top_p
):
    random = np.random.default_rng(seed)
    shape = (math.prod(model.grid), model.num_quantizers)

    def chunks():
        return [
            Chunk(random_generator(seed, Purpose.CODES, number), held, temperature)
            for number, held in enumerate(patterns)
        ]

    patterns = [
        torch.from_numpy(
            np.where(random.random(shape) < share, random.integers(16, size=shape), -1)
        )
        for share in shares
    ]
    config = GenerationConfig(top_k=top_k, top_p=top_p)
    codes = sample_autoregressive(model, config, chunks(), no_progress)
    for drawn, chunk in zip(codes, chunks(), strict=True):
        assert drawn[chunk.fixed != UNKNOWN].equal(chunk.fixed[chunk.fixed != UNKNOWN])
        assert drawn.equal(drawn_plainly(model, chunk, top_k, top_p))


@pytest.mark.slow
def test_codes_after_a_fixed_one_have_the_distribution_that_the_prior_gives(tmp_path):
    model = load_model(
        write_model(
            tmp_path / "two.distill",
            spectrogram=TINY,
            chunk_duration=0.1,
            codebook_size=8,
            sharpness=4.0,
        ),
        "cpu",
    )
    draws, held, temperature = 20_000, 3, 0.7
    chunks = [
        Chunk(
            random_generator(0, Purpose.CODES, n),
            torch.tensor([[held, UNKNOWN]]),
            (1.0, temperature),
        )
        for n in range(draws)
    ]
    codes = sample_autoregressive(model, GenerationConfig(top_p=0), chunks, no_progress)
    counts = Counter(codes[:, 0, 1].tolist())
    with torch.no_grad():
        share = (model.prior(torch.tensor([[held]]))[0, 0].double() / temperature).softmax(-1)
    expected = share.numpy() * draws
    cells = [code for code in range(8) if expected[code] >= 5]
    statistic = sum((counts[code] - expected[code]) ** 2 / expected[code] for code in cells)
    assert len(cells) >= 4
    assert statistic < len(cells) + 5 * (2 * len(cells)) ** 0.5


def test_each_level_has_its_own_settings(model):
    """With one code to choose from, a level takes the likeliest; the other goes on drawing."""
    takes = [
        generate(model, GenerationConfig(duration=1, seed=seed, top_k=(0, 1), top_p=(1.0, 0.5)))
        for seed in range(3)
    ]
    tokens = torch.cat([take.codes[:1] for take in takes]).flatten(1)
    with torch.no_grad():
        likeliest = model.prior(tokens[:, :-1]).argmax(-1)
    assert tokens[:, 1::2].equal(likeliest[:, ::2])
    assert not tokens[:, 2::2].equal(likeliest[:, 1::2])


def test_another_number_of_values_than_levels_is_named(model):
    for field in ("temperature", "temperature_end", "top_k", "top_p"):
        config = GenerationConfig(**dict[str, Any]({field: [1, 1, 1]}))
        with pytest.raises(ValueError, match=f"{field} has 3 values, but the model has 2 levels"):
            generate(model, config)


@pytest.mark.parametrize("continues", [False, True])
def test_the_temperature_moves_evenly_over_the_take(model, continues):
    seen: dict[int, Any] = {}

    class Thermometer:
        @hookimpl
        def distill_register_prior_samplers(self, register):
            register("thermometer", self.draw, continues=continues)

        @staticmethod
        def draw(model, config, chunks, progress):
            for chunk in chunks:
                seen[len(seen)] = chunk.temperature
            return torch.stack([chunk.fixed.clamp(min=0) for chunk in chunks])

    with registered(Thermometer()):
        config = GenerationConfig(
            sampler="thermometer", duration=3, temperature=(1.0, 0.5), temperature_end=1.5
        )
        chunks = len(generate(model, config).codes)
    expected = np.stack([np.linspace(1.0, 1.5, chunks), np.linspace(0.5, 1.5, chunks)], axis=1)
    assert np.array(list(seen.values())) == pytest.approx(expected)


def test_progress_of_a_continuing_take_counts_its_chunks(model):
    seen = []
    config = GenerationConfig(duration=1.5, seed=0)
    take = generate(model, config, lambda share, text: seen.append((share, text)))
    assert [share for share, _ in seen] == sorted(share for share, _ in seen)
    texts = list(dict.fromkeys(text for _, text in seen))[: len(take.codes)]
    assert texts == [f"Generating chunk {i + 1}/{len(take.codes)}..." for i in range(len(texts))]


def test_a_model_of_very_short_chunks_is_played_without_holding(tmp_path):
    path = write_model(tmp_path / "short.distill", spectrogram=TINY, chunk_duration=0.1)
    model = load_model(path, "cpu")
    assert model.grid == (1, 1)
    for loop in (False, True):
        take = generate(model, GenerationConfig(duration=1, seed=0, loop=loop))
        assert len(take.audio) == 8000
        assert isinstance(take.layout, ContinuousLayout)
