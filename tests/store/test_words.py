"""Searching takes by words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill_prior_gen import GenerationConfig
from distill_prior_gen.store.words import matches, setting_phrases

TEXT = (
    "take 12, seed 7, Small bells, 2.5 s, temperature 0.8 to 0.5, top-p 0.9, timeline sampler, "
    "like `rain.wav`, loop, trained (normal), starred"
)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "seed 7",
        "SEED 7",
        "loop, seed 7",
        "seed 7 loop",
        "bells",
        "be",
        "temperature 0.8",
        "temperature 0.80",
        "to 0.5",
        "2.5 s",
        "rain.wav",
        "take 12 starred",
        "12",
    ],
)
def test_a_query_finds_a_take_by_all_of_its_words(query):
    assert matches(query, TEXT)


@pytest.mark.parametrize(
    "query",
    ["seed 1", "seed 70", "seed 12", "1", "ells", "temperature 0.9", "rainy", "seed x"],
)
def test_a_query_does_not_find_another_take(query):
    assert not matches(query, TEXT)


@given(st.lists(st.sampled_from(["loop", "small", "bells", "seed 7", "temperature 0.8"])))
def test_words_match_in_any_order(words):
    assert matches(" ".join(words), TEXT)


@given(st.text(), st.text())
def test_any_text_can_be_searched_for(query, text):
    assert matches(query, text) in (True, False)
    assert matches(text, text)


def test_the_name_of_a_prompt_is_that_of_the_recording():
    config = GenerationConfig(
        prompt="/x/prompts/bell-0123456789abcdef.wav", sampler="continue", seed=1
    )
    assert "continues `bell.wav`" in setting_phrases(config)
