from typing import Any

import pytest
import torch
from torch import nn

from distill_prior_gen import load_model
from distill_prior_gen.networks.cached_prior import CachedPrior
from tests.helpers.models import write_model

SHAPES: dict[str, Any] = {
    "small": {},
    "four levels": {"num_quantizers": 4, "codebook_size": 32},
    "deep": {"num_layers": 4, "hidden_size": 48, "num_heads": 3},
}


@pytest.fixture(params=[*SHAPES, "tabla"])
def prior(request, tmp_path):
    if request.param == "tabla":
        return load_model(request.getfixturevalue("tabla"), "cpu").prior
    path = write_model(tmp_path / "model.distill", **SHAPES[request.param])
    return load_model(path, "cpu").prior


def tokens_for(prior, batch=5):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(prior.codebook_size, (batch, prior.seq_len), generator=generator)


def reference_logits(prior, tokens):
    """The architecture of the file format, from PyTorch's own transformer."""
    weights = prior.state_dict()
    hidden = weights["token_emb.weight"].shape[1]
    layer = nn.TransformerEncoderLayer(
        hidden, prior.num_heads, 4 * hidden, dropout=0.3, batch_first=True, norm_first=True
    )
    encoder = nn.TransformerEncoder(layer, len(prior.transformer), enable_nested_tensor=False)
    prefix = "transformer."
    encoder.load_state_dict(
        {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    )
    length = tokens.shape[1]
    level = torch.arange(length) % prior.num_quantizers
    x = weights["token_emb.weight"][tokens]
    x = x + weights["pos_emb.weight"][:length] + weights["level_emb.weight"][level]
    mask = nn.Transformer.generate_square_subsequent_mask(length)
    x = encoder.eval()(x, mask=mask, is_causal=True)
    x = nn.functional.layer_norm(x, (hidden,), weights["ln_f.weight"], weights["ln_f.bias"])
    return x @ weights["head.weight"].T


@torch.no_grad()
def test_full_forward_agrees_with_a_plain_transformer_encoder(prior):
    tokens = tokens_for(prior)
    torch.testing.assert_close(prior(tokens), reference_logits(prior, tokens), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("onednn", [True, False], ids=["oneDNN", "no oneDNN"])
@torch.no_grad()
def test_a_step_with_the_cache_agrees_with_the_full_forward(prior, monkeypatch, onednn):
    """Without oneDNN, and on every device but the CPU, steps use PyTorch's linear layers."""
    if not onednn:
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    tokens = tokens_for(prior)
    full = prior(tokens)
    for sizes in ([1], [1, 3, 2], [5]):
        cached, given = CachedPrior(prior, len(tokens)), 0
        while given < tokens.shape[1]:
            places = torch.arange(given, tokens.shape[1])[: sizes[given % len(sizes)]]
            step = cached.step(tokens[:, places], places.expand(len(tokens), -1))
            given = int(places[-1]) + 1
            torch.testing.assert_close(step, full[:, places[-1]], atol=1e-4, rtol=1e-5)


@torch.no_grad()
def test_sequences_may_be_at_places_of_their_own(prior):
    """Each begins two steps after the one before; the first begins anew when it is done."""
    tokens = tokens_for(prior)
    full = prior(tokens)
    length, count = tokens.shape[1], len(tokens)
    cached = CachedPrior(prior, count)
    for step in range(length + 5):
        begun = [n for n in range(count) if step >= 2 * n]
        place = torch.tensor([(step - 2 * n) % length for n in begun])
        # A token that was given before is given again with the next.
        places = (place[:, None] + torch.tensor([-1, 0])).clamp(min=0)
        logits = cached.step(tokens[torch.tensor(begun)[:, None], places], places)
        torch.testing.assert_close(logits, full[begun, place], atol=1e-4, rtol=1e-5)


@torch.no_grad()
def test_later_tokens_do_not_change_earlier_logits(prior):
    tokens = tokens_for(prior)
    half = prior.seq_len // 2
    changed = tokens.clone()
    changed[:, half:] = (changed[:, half:] + 1) % prior.codebook_size
    torch.testing.assert_close(prior(changed)[:, :half], prior(tokens)[:, :half])
