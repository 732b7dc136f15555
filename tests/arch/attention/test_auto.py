"""The default kernel: blocked where a CPU trains in bf16, PyTorch's fused one everywhere else."""

import pytest
import torch

from pgolf.arch.attention import auto, blocked
from tests.arch.option_claims import assert_option_is_sound
from tests.helpers import ids, randomise, tiny_model

BF16 = {"device_type": "cpu", "dtype": torch.bfloat16}


@pytest.fixture
def calls(monkeypatch):
    """The names of the kernels that ran, in their order."""
    made = []

    def spied(name, function):
        return lambda *args: made.append(name) or function(*args)

    monkeypatch.setattr(auto, "fused", spied("sdpa", auto.fused))
    monkeypatch.setattr(blocked, "blocked", spied("blocked", blocked.blocked))
    return made


def test_it_is_the_default():
    assert type(tiny_model().layers[0].mixer.kernel) is auto.Auto
    assert type(tiny_model("arch=mamba_hybrid").layers[3].mixer.kernel) is auto.Auto


def test_training_in_bf16_on_a_cpu_is_blocked(calls):
    model = tiny_model("arch.layers=2")
    with torch.autocast(**BF16):
        model.loss(ids(), ids(seed=1)).backward()
    assert calls == ["blocked"] * 2


def test_windows_beyond_the_setting_fp32_and_passes_without_gradients_are_fused(calls):
    model = tiny_model("arch.layers=1", "arch.attention.blocked_up_to=20")
    with torch.autocast(**BF16):
        model.loss(ids(time=24), ids(time=24))
        with torch.no_grad():
            model.logits(ids(time=16))
    model.loss(ids(time=16), ids(time=16))
    assert calls == ["sdpa"] * 3


def test_scores_are_those_of_the_fused_kernel_to_the_bit():
    ours, theirs = tiny_model(), tiny_model("arch/attention=sdpa")
    for model in (ours, theirs):
        randomise(model)
    with torch.no_grad():
        assert torch.equal(ours.logits(ids()), theirs.logits(ids()))


def test_a_bf16_step_has_the_loss_and_the_gradients_of_the_fused_kernel():
    losses, grads = [], []
    for word in ("auto", "sdpa"):
        model = tiny_model(f"arch/attention={word}")
        randomise(model)
        with torch.autocast(**BF16):
            loss = model.loss(ids(8), ids(8, seed=1))
        loss.backward()
        losses.append(loss.item())
        grads.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)
    assert torch.nn.functional.cosine_similarity(*grads, dim=0) > 0.999


def test_a_compiled_bf16_loss_is_one_graph_with_the_eager_loss_and_gradients():
    torch._dynamo.reset()
    model = tiny_model("arch.layers=2", "arch.attention.block=8")
    randomise(model)
    compiled = torch.compile(model.loss, fullgraph=True, dynamic=False, backend="aot_eager")
    found = []
    for loss_of in (compiled, model.loss):
        model.zero_grad(set_to_none=True)
        with torch.autocast(**BF16):
            loss = loss_of(ids(), ids(seed=1))
        loss.backward()
        found.append((loss.item(), torch.cat([p.grad.flatten() for p in model.parameters()])))
    assert found[0][0] == pytest.approx(found[1][0], abs=1e-3)
    assert torch.nn.functional.cosine_similarity(found[0][1], found[1][1], dim=0) > 0.999


def test_it_is_causal_grouped_compiled_and_finite():
    assert_option_is_sound("arch/attention=auto", "arch.attention.block=8")
