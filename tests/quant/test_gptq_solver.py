"""The column-by-column solver against a reference that re-inverts the Hessian after every column."""

import pytest
import torch

from pgolf.quant.errors import BadHessian, HessianNotPD
from pgolf.quant.gptq_solver import factor_hessian, solve
from pgolf.quant.grid import dequantize_rows, quantize_rows, row_clip, row_scale
from tests.quant.nodes import correlated, hessian, weights

BITS = 4


def no_report(text):
    raise AssertionError(text)


def factored(h, act_order=True, damping=0.01):
    return factor_hessian("w", h, damping=damping, act_order=act_order, report=no_report)


def maximum(w, bits=BITS):
    return row_scale(row_clip(w, 1.0), bits, "smallest_normal")


def solved(w, h, *, bits=BITS, act_order=True, block=128, zero=None, scales=None):
    scales = [maximum(w, bits)] if scales is None else scales
    return solve(w, torch.stack(scales), bits, factored(h, act_order), block_columns=block, zero_RC=zero)


def re_inverted(w, h, scale_R, order, zero=None, damping=0.01, bits=BITS):
    """Optimal brain quantization in a fixed order, with a fresh inverse of what is left at every column."""
    top = 2 ** (bits - 1) - 1
    h = h.double() + damping * h.double().diagonal().mean() * torch.eye(len(h))
    left, q = w.double().clone(), torch.zeros(w.shape, dtype=torch.int8)
    remaining = [int(j) for j in order]
    while remaining:
        inverse = torch.linalg.inv(h[remaining][:, remaining])
        j, rest = remaining[0], remaining[1:]
        code = (left[:, j].float() / scale_R.float()).round().clamp(-top, top)
        if zero is not None:
            code[zero[:, j]] = 0
        q[:, j] = code.to(torch.int8)
        error = (left[:, j] - code.double() * scale_R.double()) / inverse[0, 0]
        left[:, rest] -= error[:, None] * inverse[0, 1:]
        remaining = rest
    return q


@pytest.mark.parametrize("act_order", [True, False])
@pytest.mark.parametrize("columns", [1, 2, 7, 16])
def test_the_codes_are_those_of_naive_re_inversion(columns, act_order):
    w, h = weights(40, columns), hessian(correlated(columns, seed=columns))
    order = h.diagonal().argsort(descending=True) if act_order else range(columns)
    (q,), _ = solved(w, h, act_order=act_order)
    assert torch.equal(q, re_inverted(w, h, maximum(w), order))


@pytest.mark.parametrize("act_order", [True, False])
def test_blocks_of_any_width_give_the_same_codes(act_order):
    w, h = weights(60, 300), hessian(correlated(300))
    (whole,), loss = solved(w, h, act_order=act_order, block=300)
    for block in (1, 32, 128):
        (q,), other = solved(w, h, act_order=act_order, block=block)
        assert torch.equal(q, whole)
        torch.testing.assert_close(other, loss, rtol=1e-9, atol=0)


def test_the_codes_do_not_depend_on_the_number_of_threads():
    w, h = weights(96, 200), hessian(correlated(200))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        (one,), _ = solved(w, h)
        torch.set_num_threads(2)
        (two,), _ = solved(w, h)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(one, two)


def test_a_diagonal_hessian_rounds_to_nearest():
    w = weights(50, 70)
    h = torch.diag(torch.rand(70, generator=torch.Generator().manual_seed(4)) + 0.1)
    (q,), _ = solved(w, h)
    assert torch.equal(q, quantize_rows(w, maximum(w), BITS))


def test_the_loss_is_the_hessian_weighted_error_of_the_damped_hessian():
    w, h = weights(20, 48), hessian(correlated(48))
    (q,), (loss,) = solved(w, h)
    error = w.double() - dequantize_rows(q, maximum(w)).double()
    damped = h.double() + 0.01 * h.double().diagonal().mean() * torch.eye(48)
    torch.testing.assert_close(loss, ((error @ damped) * error).sum(dim=1), rtol=1e-6, atol=0)


@pytest.mark.parametrize("bits", [4, 5, 6])
def test_outputs_are_nearer_than_rounding_to_nearest_at_the_same_scales(bits):
    x, w = correlated(128), weights(96, 128)
    (q,), _ = solved(w, hessian(x), bits=bits)
    scale_R = maximum(w, bits)

    def output_error(codes):
        return float((x @ (w - dequantize_rows(codes, scale_R)).double().T).square().sum())

    assert output_error(q) < 0.6 * output_error(quantize_rows(w, scale_R, bits))


def test_dead_columns_become_zero_and_disturb_nothing():
    x = correlated(32)
    dead = [0, 5, 31]
    x[:, dead] = 0
    w, h = weights(24, 32), hessian(x)
    (q,), _ = solved(w, h)
    alive = [j for j in range(32) if j not in dead]
    (q_alive,), _ = solved(w[:, alive], h[alive][:, alive], scales=[maximum(w)])
    assert not q[:, dead].any() and torch.equal(q[:, alive], q_alive)


def test_inputs_that_were_all_zero_give_zeros():
    (q,), (loss,) = solved(weights(4, 6), torch.zeros(6, 6))
    assert not q.any() and not loss.any()


def test_the_permutation_is_undone():
    x = correlated(64)
    x = x[:, x.square().sum(dim=0).argsort(descending=True)]
    w, h = weights(30, 64), hessian(x)
    assert torch.equal(solved(w, h, act_order=True)[0], solved(w, h, act_order=False)[0])


def test_columns_may_come_in_any_order():
    w, h = weights(30, 64), hessian(correlated(64))
    shuffled = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    (q,), _ = solved(w, h)
    (q_shuffled,), _ = solved(w[:, shuffled], h[shuffled][:, shuffled])
    assert torch.equal(q[:, shuffled], q_shuffled)


def test_candidates_at_once_are_candidates_one_by_one():
    w, h = weights(40, 50), hessian(correlated(50))
    scales = [row_scale(row_clip(w, p), BITS, "smallest_normal") for p in (0.95, 0.99, 1.0)]
    q_KRC, loss_KR = solved(w, h, scales=scales)
    for q_RC, loss_R, scale_R in zip(q_KRC, loss_KR, scales, strict=True):
        (alone,), (loss,) = solved(w, h, scales=[scale_R])
        assert torch.equal(q_RC, alone)
        torch.testing.assert_close(loss_R, loss, rtol=1e-9, atol=0)


def test_rows_in_several_chunks_are_rows_at_once(monkeypatch):
    w, h = weights(40, 50), hessian(correlated(50))
    scales = [maximum(w), row_scale(row_clip(w, 0.9), BITS, "smallest_normal")]
    whole, loss = solved(w, h, scales=scales)
    monkeypatch.setattr("pgolf.quant.gptq_solver._CHUNK", 50 * 2 * 7)
    chunked, other = solved(w, h, scales=scales)
    assert torch.equal(whole, chunked)
    torch.testing.assert_close(loss, other, rtol=1e-9, atol=0)


def test_masked_weights_are_zero_and_the_others_make_up_for_them():
    x, w = correlated(16), weights(40, 16)
    h = hessian(x)
    zero = w.abs() < 0.02
    (q,), _ = solved(w, h, zero=zero)
    assert not q[zero].any() and bool((q[~zero] != 0).any())
    order = h.diagonal().argsort(descending=True)
    assert torch.equal(q, re_inverted(w, h, maximum(w), order, zero))
    (without,), _ = solved(w, h)

    def output_error(codes):
        return float((x @ (w - dequantize_rows(codes, maximum(w))).double().T).square().sum())

    assert output_error(q) < output_error(without.masked_fill(zero, 0))


def indefinite(lowest, columns=12):
    """A symmetric matrix of diagonal mean 1 with one eigenvalue of about ``lowest``."""
    v = torch.ones(columns, 1, dtype=torch.float64) / columns**0.5
    return (torch.eye(columns, dtype=torch.float64) - (1 - lowest) * v @ v.T).float()


def test_damping_is_raised_step_by_step_and_each_step_reported():
    lines = []
    h = indefinite(-0.05)
    found = factor_hessian("layers.0.q", h, damping=0.01, act_order=True, report=lines.append)
    assert found.damping == 0.1 and len(lines) == 2
    assert "layers.0.q" in lines[0] and "0.01" in lines[0] and "trying 0.03" in lines[0]


def test_a_hessian_that_no_damping_helps_is_named():
    with pytest.raises(HessianNotPD, match=r"'w'.*0\.01, 0\.03, 0\.1, 0\.3"):
        factor_hessian("w", indefinite(-0.9), damping=0.01, act_order=True, report=lambda text: None)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_hessian_that_is_not_finite_is_named(bad):
    h = torch.eye(4)
    h[1, 2] = bad
    with pytest.raises(BadHessian, match=r"'w'.*NaN or infinity"):
        factored(h)


def test_the_factor_inverts_the_damped_hessian():
    h = hessian(correlated(24))
    found = factored(h)
    upper = found.ratio_CC * found.diagonal_C[:, None]
    damped = h.double() + 0.01 * h.double().diagonal().mean() * torch.eye(24)
    ordered = damped[found.order_C][:, found.order_C]
    torch.testing.assert_close(upper.T @ upper, torch.linalg.inv(ordered), rtol=1e-8, atol=1e-8)
    assert not upper.tril(-1).any()


def test_scaling_the_hessian_changes_no_code():
    w, h = weights(30, 40), hessian(correlated(40))
    assert torch.equal(solved(w, h)[0], solved(w, h * 2.0**-20)[0])
