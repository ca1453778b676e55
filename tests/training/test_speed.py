import pytest
import torch

from distill_prior_gen.training.speed import measure_chunk_costs


@pytest.mark.slow
def test_the_speed_is_measured_without_touching_random_numbers():
    before = torch.random.get_rng_state()
    costs = measure_chunk_costs("cpu")
    assert costs.keys() == {"VQ-VAE", "prior"}
    assert all(0 < cost < 10 for cost in costs.values())
    assert torch.random.get_rng_state().equal(before)
