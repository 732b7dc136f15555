"""The chunked state-space mixer is the plain recurrence, for any length and any chunk."""

import pytest
import torch
import torch.nn.functional as F

from pgolf.arch.dims import Dims
from pgolf.arch.ssd import SSD, ssd
from pgolf.core.errors import ConfigError

DIMS = Dims(vocab_size=97, bos_id=1, layers=6, width=32, heads=2, kv_heads=1, mlp_hidden=64)


def mixer(**changes):
    settings = dict(inner=64, heads=4, state=3, taps=4, chunk_tokens=8, step_range=(0.001, 0.1))
    part = SSD(dims=DIMS, **(settings | changes))
    torch.nn.init.normal_(part.out.weight)
    return part


def recurrence(u, b, c, log_decay):
    """``S_t = δS_{t−1} + B_t u_tᵀ``, ``y_t = C_tᵀS_t``, one step at a time."""
    batch, time, heads, width = u.shape
    state = torch.zeros(batch, heads, b.size(-1), width, dtype=u.dtype)
    out = []
    for t in range(time):
        state = log_decay.exp()[:, None, None] * state + b[:, t, :, :, None] * u[:, t, :, None, :]
        out.append((c[:, t, :, :, None] * state).sum(-2))
    return torch.stack(out, 1)


def inputs(time, seed=0):
    generator = torch.Generator().manual_seed(seed)
    u = torch.randn(2, time, 3, 5, generator=generator)
    b, c = (torch.randn(2, time, 3, 4, generator=generator) for _ in range(2))
    return u, b, c, -torch.tensor([0.01, 0.3, 2.0])


@pytest.mark.parametrize("time", [1, 7, 16, 23, 50])
@pytest.mark.parametrize("chunk", [1, 3, 16, 64])
def test_chunked_equals_the_recurrence_for_ragged_lengths_and_any_chunk(time, chunk):
    given = inputs(time)
    torch.testing.assert_close(ssd(*given, chunk), recurrence(*given), rtol=1e-4, atol=1e-5)


def test_the_gradients_equal_those_of_the_recurrence():
    for tensors in zip(*(_gradients(f) for f in (lambda *g: ssd(*g, 8), recurrence)), strict=True):
        torch.testing.assert_close(*tensors, rtol=1e-4, atol=1e-4)


def _gradients(run):
    given = [x.requires_grad_() for x in inputs(21)]
    return torch.autograd.grad(run(*given).square().sum(), given)


def test_long_sequences_and_strong_decay_stay_finite():
    u, b, c, _ = inputs(700)
    log_decay = -torch.tensor([1e-4, 1.0, 90.0]).requires_grad_()
    out = ssd(u, b, c, log_decay, 64)
    (gradient,) = torch.autograd.grad(out.sum(), log_decay)
    assert torch.isfinite(out).all() and torch.isfinite(gradient).all()
    torch.testing.assert_close(out, recurrence(u, b, c, log_decay), rtol=1e-3, atol=1e-3)


def test_powers_stay_fp32_under_bf16():
    """In bf16 a decay of 0.999 would be 1, and its 500th power 1 instead of 0.61."""
    u, b, c = torch.zeros(1, 512, 1, 1), torch.ones(1, 512, 1, 1), torch.ones(1, 512, 1, 1)
    u[:, 0] = 1.0
    log_decay = torch.tensor([0.999]).log()
    with torch.autocast("cpu", torch.bfloat16):
        out = ssd(u, b, c, log_decay, 64)
    assert abs(out[0, 500].item() - 0.999**500) < 0.01


def test_states_are_made_carried_and_read_in_fp32_under_bf16():
    """Only the first of several chunks has input: what later ones read was carried, and rounded nowhere."""
    u, b, c, log_decay = inputs(40)
    u[:, 8:] = 0.0
    with torch.autocast("cpu", torch.bfloat16):
        out = ssd(u, b, c, log_decay, 8)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out[:, 8:], recurrence(u, b, c, log_decay)[:, 8:], rtol=1e-4, atol=1e-5)


def test_within_a_chunk_autocast_rounds_factors_only():
    given = inputs(40)
    with torch.autocast("cpu", torch.bfloat16):
        out = ssd(*given, 8)
    expected = recurrence(*given)
    assert (out - expected).abs().max() < 0.02 * expected.abs().max()


def test_the_mixer_compiles_as_one_graph_under_bf16():
    torch._dynamo.reset()
    part, h = mixer(), torch.randn(2, 19, 32)
    compiled = torch.compile(lambda x: part(x, None, {}, None), fullgraph=True, backend="aot_eager")
    with torch.autocast("cpu", torch.bfloat16):
        found, expected = compiled(h), part(h, None, {}, None)
    torch.testing.assert_close(found, expected, rtol=2e-2, atol=2e-2)
    found.float().sum().backward()
    assert torch.isfinite(part.a_log.grad).all()


@pytest.mark.parametrize("chunk", [1, 5, 32])
def test_the_mixer_is_its_formula(chunk):
    part = mixer(chunk_tokens=chunk)
    h = torch.randn(2, 19, 32)
    value, gate = (h @ part.into.weight.T).chunk(2, dim=-1)
    padded = F.pad(value, (0, 0, 3, 0))
    taps = sum(part.conv[j] * padded[:, 3 - j : 22 - j] for j in range(4)) + part.conv_bias
    x = F.silu(taps).view(2, 19, 4, 16)
    b, c = ((h @ layer.weight.T).view(2, 19, 4, 3) for layer in (part.b, part.c))
    step = F.softplus(part.dt_bias)
    y = recurrence(step[:, None] * x, b, c, -part.a_log.exp() * step) + part.d[:, None] * x
    expected = (y.flatten(2) * F.silu(gate)) @ part.out.weight.T
    torch.testing.assert_close(part(h, None, {}, None), expected, rtol=1e-4, atol=1e-5)


def test_zero_in_gives_zero_out():
    assert not mixer()(torch.zeros(2, 11, 32), None, {}, None).any()


def test_later_inputs_do_not_change_earlier_outputs():
    part = mixer()
    h = torch.randn(1, 29, 32)
    other = h.clone()
    other[:, 13:] += 1.0
    a, b = part(h, None, {}, None), part(other, None, {}, None)
    torch.testing.assert_close(a[:, :13], b[:, :13])
    assert not torch.allclose(a[:, 13:], b[:, 13:])


def test_steps_start_in_their_range_and_decay_rates_at_1_to_h():
    part = mixer(heads=8, step_range=(0.02, 0.05))
    steps = F.softplus(part.dt_bias)
    assert steps.min() >= 0.02 - 1e-6 and steps.max() <= 0.05 + 1e-6
    torch.testing.assert_close(part.a_log.exp(), torch.arange(1.0, 9.0))
    assert torch.equal(part.d, torch.ones(8))


def test_only_the_large_matrices_are_quantized_and_everything_is_trained():
    part = mixer()
    assert part.into.specs["weight"].storage == part.out.specs["weight"].storage == "matrix"
    for layer in (part.b, part.c):
        assert (layer.specs["weight"].group, layer.specs["weight"].storage) == ("matrix", "keep_fp16")
    assert {spec.group for spec in part.specs.values()} == {"scalar"}
    assert part.specs["conv"].storage == "keep_fp16"


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"heads": 3}, "64 is no multiple"), ({"step_range": (0.1, 0.1)}, "0.1 is not below")],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        mixer(**changes)
