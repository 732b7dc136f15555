"""flex_attention computes the same forward pass; training with it on a CPU is refused in words."""

import pytest
import torch

from pgolf.arch.attention.flex import MASK, causal_mask
from pgolf.core.errors import ConfigError
from tests.arch.causality import perturbation_leak
from tests.helpers import ids, randomise, tiny_model

pytestmark = pytest.mark.filterwarnings("ignore:flex_attention called without")
WORDS = ("arch/attention=flex",)


def both(*words):
    models = tiny_model(*WORDS, *words), tiny_model(*words)
    for model in models:
        randomise(model)
    return models


def test_training_on_a_cpu_is_refused_with_the_way_out():
    flex, _ = both()
    with pytest.raises(ConfigError, match=r"no backward pass on a CPU; .*arch/attention=auto"):
        flex.loss(ids(), ids(seed=1))


def test_the_model_is_causal():
    flex, _ = both()
    assert perturbation_leak(flex) <= 1e-5


def test_the_mask_is_made_once_for_all_layers(monkeypatch):
    from pgolf.arch.attention import flex as module

    made = []
    monkeypatch.setattr(module, "causal_mask", lambda *a: made.append(a) or causal_mask(*a))
    flex, _ = both()
    with torch.no_grad():
        _, context = flex.trunk(ids(), None)
    assert len(made) == 1 and MASK in context.shared


def test_a_forward_pass_on_a_cpu_equals_the_fused_kernel():
    flex, fused = both("arch.heads=4", "arch.kv_heads=2")
    for time in (24, 7):
        with torch.no_grad():
            torch.testing.assert_close(flex.logits(ids(time=time)), fused.logits(ids(time=time)))


def test_it_shares_every_parameter_with_the_fused_kernel():
    flex, fused = both()
    assert flex.state_dict().keys() == fused.state_dict().keys()


def test_a_forward_pass_is_one_graph():
    flex, fused = both("arch.layers=2")
    with torch.no_grad():
        torch._dynamo.reset()
        compiled = torch.compile(flex.logits, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(ids()), fused.logits(ids()))


@pytest.mark.slow
def test_the_compiled_kernel_equals_the_fused_one():
    flex, fused = both("arch.layers=2")
    with torch.no_grad():
        torch._dynamo.reset()
        compiled = torch.compile(flex.logits, fullgraph=True)
        torch.testing.assert_close(compiled(ids()), fused.logits(ids()), rtol=1e-4, atol=1e-5)


@pytest.mark.gpu
def test_on_cuda_losses_and_gradients_equal_the_fused_kernels():
    flex, fused = (model.cuda() for model in both("arch.width=128", "arch.mlp_hidden=128"))
    x, y = ids(time=64).cuda(), ids(time=64, seed=1).cuda()
    for model in (flex, fused):
        model.loss(x, y).backward()
    for a, b in zip(flex.parameters(), fused.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-2, atol=1e-3)
