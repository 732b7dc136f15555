import numpy as np
import pytest
import torch

from pgolf.eval.coder import LogRows, PlainRows

ROWS, V = 37, 97


def log_rows():
    return torch.randn(ROWS, V, generator=torch.Generator().manual_seed(0)).log_softmax(-1)


@pytest.mark.parametrize("kind", ["log", "plain"])
def test_rows_price_tokens_by_their_own_entries_and_tell_their_sums(kind):
    logp_IV = log_rows()
    rows = LogRows(logp_IV) if kind == "log" else PlainRows(logp_IV.exp().numpy())
    token_I = np.random.default_rng(0).integers(0, V, ROWS)
    nll_nats_I, sum_I = rows.nll_nats(token_I), rows.sums()
    np.testing.assert_allclose(nll_nats_I, -logp_IV.numpy()[np.arange(ROWS), token_I], rtol=1e-5)
    np.testing.assert_allclose(sum_I, 1.0, atol=1e-6)
    assert nll_nats_I.dtype == sum_I.dtype == np.float64 and nll_nats_I.shape == sum_I.shape == (ROWS,)
    for index in (0, ROWS - 1):
        row_V = rows.row(index)
        assert (row_V.dtype, row_V.shape) == (np.float32, (V,))
        assert -np.log(np.float64(row_V[token_I[index]])) == pytest.approx(nll_nats_I[index], abs=1e-6)


def test_plain_rows_are_priced_in_float64_to_the_bit():
    row_IV = log_rows().exp().numpy()
    token_I = np.random.default_rng(0).integers(0, V, ROWS)
    own = [-np.log(np.float64(row_IV[i, token])) for i, token in enumerate(token_I)]
    assert np.array_equal(PlainRows(row_IV).nll_nats(token_I), own)


def test_sums_of_rows_that_are_no_distributions_are_told_as_they_are():
    row_IV = np.full((2, V), 1.0, dtype=np.float32)
    assert PlainRows(row_IV).sums().tolist() == LogRows(torch.from_numpy(row_IV).log()).sums().tolist() == [V, V]


def test_a_row_has_the_same_bits_however_many_there_are():
    logp_IV = log_rows()
    whole = LogRows(logp_IV)
    for index in range(ROWS):
        assert np.array_equal(LogRows(logp_IV[index : index + 1].clone()).row(0), whole.row(index))
