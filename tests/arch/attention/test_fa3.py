"""FlashAttention-3: lazily imported, and where it cannot run the fallback speaks or refuses."""

import sys
import types
import warnings

import pytest
import torch

from pgolf.arch.attention import fa3
from pgolf.arch.attention.sdpa import fused
from pgolf.core.errors import ConfigError
from tests.arch.option_claims import assert_option_is_sound
from tests.helpers import ids, randomise, tiny_model

WORDS = ("arch/attention=fa3",)


@pytest.fixture(autouse=True)
def without_the_kernel(monkeypatch):
    monkeypatch.setitem(sys.modules, "flash_attn_interface", None)
    fa3._say_once.cache_clear()


def test_the_fallback_is_said_once_and_names_the_install_step():
    with pytest.warns(RuntimeWarning, match=r"no module flash_attn_interface.*install it from") as said:
        model = tiny_model(*WORDS)
    assert len(said) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tiny_model(*WORDS)
    plain = tiny_model()
    for each in (model, plain):
        randomise(each)
    with torch.no_grad():
        assert torch.equal(model.logits(ids()), plain.logits(ids()))


def test_without_a_fallback_the_model_is_refused_with_the_install_step():
    with pytest.raises(ConfigError, match=r"FlashAttention-3 cannot run here.*setup\.py install.*arch/attention=sdpa"):
        tiny_model(*WORDS, "arch.attention.fallback=error")


def test_an_installed_kernel_needs_a_cuda_device(monkeypatch):
    monkeypatch.setitem(sys.modules, "flash_attn_interface", types.SimpleNamespace(flash_attn_func=None.__eq__))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="no CUDA device"):
        tiny_model(*WORDS, "arch.attention.fallback=error")


def test_without_a_cuda_device_one_reason_is_said_once(monkeypatch):
    monkeypatch.setitem(sys.modules, "flash_attn_interface", types.SimpleNamespace(flash_attn_func=None.__eq__))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.warns(RuntimeWarning, match="no CUDA device") as said, torch.no_grad():
        tiny_model(*WORDS).logits(ids())
    assert len(said) == 1


@pytest.mark.parametrize("returns_sums", [False, True])
def test_the_kernel_gets_half_precision_and_its_output_keeps_the_inputs_dtype(returns_sums):
    seen = []

    def kernel(q, k, v, causal):
        seen.append((q.dtype, k.dtype, v.dtype, causal))
        y = fused(q.float(), k.float(), v.float()).to(q.dtype)
        return (y, None) if returns_sums else y

    q, k, v = torch.randn(2, 9, 2, 16), torch.randn(2, 9, 1, 16), torch.randn(2, 9, 1, 16)
    y = fa3.flash(kernel, q, k, v)
    assert seen == [(torch.bfloat16,) * 3 + (True,)]
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, fused(q, k, v), rtol=0.1, atol=0.05)


def test_a_model_moved_to_the_cpu_says_so_or_refuses(monkeypatch):
    monkeypatch.setitem(sys.modules, "flash_attn_interface", types.SimpleNamespace(flash_attn_func=None.__eq__))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.warns(RuntimeWarning, match="the model runs on cpu"), torch.no_grad():
        tiny_model(*WORDS).logits(ids())
    with pytest.raises(ConfigError, match="the model runs on cpu"):
        tiny_model(*WORDS, "arch.attention.fallback=error").logits(ids())


@pytest.mark.filterwarnings("ignore:arch.attention")
def test_the_fallback_is_causal_grouped_compiled_and_finite():
    assert_option_is_sound(*WORDS)
