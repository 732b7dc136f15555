import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pgolf.quant.grid import (
    SMALLEST_NORMAL_FP16,
    as_rows,
    dequantize_rows,
    qmax,
    quantize_rows,
    row_clip,
    row_count,
    row_scale,
)

ROW_MAX = 1.0


def gaussian(rows, columns, seed=0, spread=1.0):
    generator = torch.Generator().manual_seed(seed)
    w = torch.randn(rows, columns, generator=generator)
    return w * torch.exp(spread * torch.randn(rows, 1, generator=generator))


def on_grid(w, bits, percentile=ROW_MAX, floor="smallest_normal"):
    scale = row_scale(row_clip(w, percentile), bits, floor)
    return quantize_rows(w, scale, bits), scale


def test_qmax_is_symmetric_for_every_width():
    assert [qmax(bits) for bits in range(2, 9)] == [1, 3, 7, 15, 31, 63, 127]


@settings(deadline=None, max_examples=60)
@given(
    bits=st.integers(2, 8),
    rows=st.integers(1, 9),
    columns=st.integers(1, 40),
    seed=st.integers(0, 10_000),
    size=st.sampled_from([1e-6, 1e-3, 0.02, 1.0, 300.0]),
)
def test_error_is_at_most_half_a_step_and_requantizing_returns_the_same_codes(bits, rows, columns, seed, size):
    w = gaussian(rows, columns, seed) * size
    q, scale = on_grid(w, bits)
    w_hat = dequantize_rows(q, scale)
    assert int(q.abs().max()) <= qmax(bits)
    step = scale.float()[:, None]
    # fp16 rounding of the scale can leave the row maximum up to qmax * 2^-11 of a step beyond the last code
    slack = step * (qmax(bits) * 2.0**-11 + 1e-5)
    assert bool(((w_hat - w).abs() <= step / 2 + slack).all())
    assert torch.equal(quantize_rows(w_hat, scale, bits), q)


def test_codes_are_made_with_the_rounded_scale_not_the_exact_one():
    w = gaussian(64, 256)
    clip = row_clip(w, ROW_MAX)
    q, scale = on_grid(w, 8)
    assert scale.dtype == torch.float16
    exact = torch.round(w / (clip / 127)[:, None]).clamp(-127, 127).to(torch.int8)
    stored = torch.round(w / scale.float()[:, None]).clamp(-127, 127).to(torch.int8)
    assert torch.equal(q, stored)
    assert not torch.equal(q, exact)


def test_rounding_is_half_to_even():
    w = torch.tensor([[0.5, 1.5, 2.5, -0.5, -1.5, 7.0]])
    assert quantize_rows(w, torch.tensor([1.0], dtype=torch.float16), 4).tolist() == [[0, 2, 2, 0, -2, 7]]


@pytest.mark.parametrize("percentile", [0.1, 0.5, 0.9, 0.99, 0.999, 0.9999984, 1.0])
def test_row_clip_is_the_quantile_of_magnitudes(percentile):
    w = gaussian(7, 301)
    wanted = torch.quantile(w.abs().double(), percentile, dim=1)
    torch.testing.assert_close(row_clip(w, percentile).double(), wanted, rtol=2e-5, atol=1e-7)


def test_row_clip_has_no_limit_on_the_number_of_elements():
    w = torch.zeros(2, (1 << 23) + 8)
    w[:, 5] = 2.0
    with pytest.raises(RuntimeError):
        torch.quantile(w, 0.5)
    assert row_clip(w, ROW_MAX).tolist() == [2.0, 2.0]


def test_published_percentile_clips_almost_nothing_at_512_columns():
    w = gaussian(64, 512)
    top = w.abs().amax(dim=1)
    clip = row_clip(w, 0.9999984)
    assert bool((clip <= top).all())
    assert float(((top - clip) / top).max()) < 1e-3


def test_a_low_percentile_clips_and_makes_the_step_finer():
    w = gaussian(32, 512)
    q, scale = on_grid(w, 6, percentile=0.99)
    _, widest = on_grid(w, 6)
    assert bool((scale < widest).all())
    assert int((q.abs() == 31).sum()) > 32


def test_zero_rows_get_the_floor_scale_and_zero_codes():
    w = gaussian(4, 16)
    w[2] = 0
    q, scale = on_grid(w, 6)
    assert float(scale[2]) == SMALLEST_NORMAL_FP16
    assert not q[2].any()
    assert torch.isfinite(dequantize_rows(q, scale)).all()


def test_legacy_floor_gives_all_small_rows_one_step():
    w = gaussian(16, 64) * 0.01
    _, scale = on_grid(w, 6, floor="legacy")
    assert set(scale.tolist()) == {float(torch.tensor(1 / 31, dtype=torch.float16))}
    _, own = on_grid(w, 6)
    assert len(set(own.tolist())) > 1


@pytest.mark.parametrize("shape", [(), (5,), (3, 4), (2, 3, 4), (0, 4), (3, 0), (0,)])
def test_as_rows_agrees_with_row_count(shape):
    assert as_rows(torch.zeros(shape)).shape[0] == row_count(shape)
