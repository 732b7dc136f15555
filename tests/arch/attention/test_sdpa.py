"""The fused kernel equals the formula; grouped heads equal repeated ones; rotary positions are relative."""

import math

import torch

from pgolf.arch.attention.layer import Rotary
from pgolf.arch.base import rms_norm
from pgolf.arch.block import BLOCK_SITES
from tests.helpers import tiny_model

EMPTY = {site: () for site in BLOCK_SITES}


def attention_layer(*words):
    layer = tiny_model("arch/attention=sdpa", *words).layers[0].mixer
    torch.nn.init.normal_(layer.out.weight)
    return layer


def test_attention_equals_the_written_out_formula():
    layer = attention_layer()
    h = torch.randn(2, 9, 32)
    gain = torch.tensor([1.5, 0.7])
    q = layer.rotary(rms_norm(layer.q(h).view(2, 9, 2, 16))) * gain[:, None]
    k = layer.rotary(rms_norm(layer.k(h).view(2, 9, 1, 16))).expand(2, 9, 2, 16)
    v = layer.v(h).view(2, 9, 1, 16).expand(2, 9, 2, 16)
    scores = torch.einsum("bthk,bshk->bhts", q, k) / math.sqrt(16)
    scores = scores.masked_fill(torch.ones(9, 9).triu(1).bool(), -math.inf)
    y = torch.einsum("bhts,bshk->bthk", scores.softmax(-1), v).reshape(2, 9, 32)
    torch.testing.assert_close(layer(h, gain, EMPTY, None), layer.out(y), rtol=1e-4, atol=1e-5)


def test_rotary_scores_depend_on_distance_only():
    rotary = Rotary(rotary=16, base=1e4, reference=1024, ntk=False)
    q = torch.randn(1, 1, 1, 16).expand(1, 12, 1, 16)
    k = torch.randn(1, 1, 1, 16).expand(1, 12, 1, 16)
    scores = torch.einsum("bthk,bshk->ts", rotary(q), rotary(k))
    for distance in range(5):
        diagonal = scores.diagonal(-distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), rtol=1e-4, atol=1e-4)


def test_partial_rotary_leaves_the_other_dimensions_alone():
    rotary = Rotary(rotary=4, base=1e4, reference=1024, ntk=False)
    x = torch.randn(2, 7, 2, 16)
    assert torch.equal(rotary(x)[..., 4:], x[..., 4:])


def test_the_long_context_rule_changes_the_base_only_beyond_its_reference():
    plain, ntk = (Rotary(rotary=8, base=1e4, reference=16, ntk=flag) for flag in (False, True))
    short, long = torch.randn(1, 16, 1, 8), torch.randn(1, 32, 1, 8)
    assert torch.equal(plain(short), ntk(short))
    assert not torch.allclose(plain(long), ntk(long))
