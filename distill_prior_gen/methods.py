"""The methods that are used where none was chosen."""

from __future__ import annotations

from dataclasses import replace

from distill_prior_gen.config import GenerationConfig
from distill_prior_gen.model import PriorModel
from distill_prior_gen.neural_vocoder import choose_vocoder
from distill_prior_gen.sampling.random_streams import new_seed
from distill_prior_gen.sampling.timeline import choose_sampler


def choose_methods(model: PriorModel, config: GenerationConfig) -> GenerationConfig:
    """Settings with a seed, and with the names of the sampler and the vocoder that are used.

    Raises:
        ValueError: if the model has no such sampler or vocoder.
    """
    return replace(
        config,
        seed=new_seed() if config.seed is None else config.seed,
        sampler=choose_sampler(model, config.sampler),
        vocoder=choose_vocoder(model, config.vocoder),
    )
