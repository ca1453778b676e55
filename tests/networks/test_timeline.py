import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from distill_prior_gen import load_model
from distill_prior_gen.networks.cached_timeline import CachedTimeline
from distill_prior_gen.networks.timeline import Block, TimelineNetwork, count_heads
from tests.helpers.models import add_timeline, write_model


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    path = write_model(tmp_path_factory.mktemp("timeline") / "small.distill")
    return load_model(add_timeline(path, width=64), "cpu").timeline


def test_a_block_is_that_of_pytorch():
    block, layer = (
        Block(64, 0.0),
        nn.TransformerEncoderLayer(
            64, count_heads(64), 256, 0.0, F.relu, batch_first=True, norm_first=True
        ),
    )
    names = {
        "self_attn.in_proj_weight": block.qkv.weight,
        "self_attn.in_proj_bias": block.qkv.bias,
        "self_attn.out_proj.weight": block.out.weight,
        "self_attn.out_proj.bias": block.out.bias,
        "linear1.weight": block.up.weight,
        "linear1.bias": block.up.bias,
        "linear2.weight": block.down.weight,
        "linear2.bias": block.down.bias,
        "norm1.weight": block.norm1.weight,
        "norm1.bias": block.norm1.bias,
        "norm2.weight": block.norm2.weight,
        "norm2.bias": block.norm2.bias,
    }
    layer.load_state_dict(names)
    x, bias = torch.randn(2, 5, 64), torch.full((5, 5), -math.inf).triu(1)
    torch.testing.assert_close(block(x, bias), layer(x, src_mask=bias), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_token_by_token_is_the_same_as_at_once(network):
    """Also where the memory has gone round."""
    codes = torch.randint(network.codebook_size, (3, 20, network.tokens))
    changed, recording = torch.randint(2, (3, 20)), torch.randint(5, (3, 20))
    condition = network.condition(changed, recording, torch.randint(11, (3, 20, 4)))
    memory = network.remember(network.embed(codes, condition))
    change = network.change(memory)[..., 0]
    cached = CachedTimeline(network, 3)
    for column in range(20):
        here = condition[:, column]
        close(cached.memory, memory[:, column])
        close(cached.change, change[:, column])
        cached.begin_column(here.numpy())
        expected = network.predict(memory[:, column], here, codes[:, column])
        for token in range(network.tokens):
            logits = cached.predict(codes[:, column, max(0, token - 1)].numpy())
            close(logits, expected[:, token], 1e-4)
        cached.append(codes[:, column].numpy(), here.numpy())


def close(actual, expected, atol=1e-5):
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, expected.numpy(), rtol=1e-4, atol=atol)


@torch.no_grad()
def test_only_the_columns_of_the_memory_are_known(network):
    """Each of the two blocks looks back at six columns."""
    codes = torch.randint(network.codebook_size, (1, 30, network.tokens))
    numbers = torch.zeros(1, 30, dtype=torch.int64), torch.full((1, 30), 4)
    condition = network.condition(*numbers, torch.full((1, 30, 4), 10))
    memory = network.remember(network.embed(codes, condition))[0]
    other = codes.clone()
    other[0, 10] = (other[0, 10] + 1) % network.codebook_size
    changed = network.remember(network.embed(other, condition))[0]
    different = (memory != changed).any(dim=1).nonzero().flatten().tolist()
    assert different == list(range(11, 11 + 2 * network.memory + 1))


@torch.no_grad()
def test_a_token_is_predicted_from_those_before_it_only(network):
    codes = torch.randint(network.codebook_size, (1, network.tokens))
    memory, condition = torch.randn(2, 1, 64)
    logits = network.predict(memory, condition, codes)[0]
    for token in range(network.tokens):
        other = codes.clone()
        other[0, token] = (other[0, token] + 1) % network.codebook_size
        same = (network.predict(memory, condition, other)[0] == logits).all(dim=1)
        assert same[: token + 1].all()
        assert not same[token + 1 :].any()


@pytest.mark.parametrize("width", [1, 7, 32, 100, 128])
def test_every_width_has_heads_that_divide_it(width):
    assert width % count_heads(width) == 0
    assert TimelineNetwork(2, 2, 4, width, 1, 1, 3, 2).distance.shape[0] == count_heads(width)
