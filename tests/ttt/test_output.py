"""Rows of an adapting network: a temperature, and the unadapted network's. Expected: the formulas, row by row."""

import numpy as np
import pytest
import torch

from pgolf.ttt.output import Output

V = 7


@pytest.fixture
def rows():
    """(adapted, frozen) log-probabilities [2, 3, V], one row of them as good as certain."""
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(2, 2, 3, V, generator=generator)
    logits[0, 0, 0, 2] = 60.0
    return logits.log_softmax(-1)


def test_neutral_rows_are_not_touched(rows):
    output = Output(keep=0.0, temperature=1.0, per_token=True)
    adapted = rows[0]
    assert output.neutral and output.mixed(adapted, None) is adapted


@pytest.mark.parametrize("keep", [0.3, 1.0])
def test_the_unadapted_network_has_its_share_of_the_probability(rows, keep):
    mixed = Output(keep, 1.0, per_token=False).mixed(*rows)
    torch.testing.assert_close(mixed.exp(), (1 - keep) * rows[0].exp() + keep * rows[1].exp())


def test_a_temperature_sharpens_the_adapted_rows_alone(rows):
    sharpened = (rows[0].exp() ** (1 / 0.9)) / (rows[0].exp() ** (1 / 0.9)).sum(-1, keepdim=True)
    torch.testing.assert_close(Output(0.0, 0.9, False).mixed(rows[0], None).exp(), sharpened)
    mixed = Output(0.5, 0.9, False).mixed(*rows).exp()
    torch.testing.assert_close(mixed, 0.5 * sharpened + 0.5 * rows[1].exp())


@pytest.mark.parametrize("temperature", [0.98, 0.5, 1.4])
def test_per_token_a_sure_row_gets_all_of_it_and_an_even_one_none(rows, temperature):
    found = Output(0.0, temperature, per_token=True).mixed(rows[0], None)
    for row_V, found_V in zip(rows[0].flatten(0, 1).double().numpy(), found.flatten(0, 1).numpy(), strict=True):
        p_V = np.exp(row_V)
        entropy = -(p_V * row_V).sum()
        t = min(1.05, max(0.9, 1 - (1 - temperature) * (1 - entropy / np.log(V))))
        np.testing.assert_allclose(np.exp(found_V), p_V ** (1 / t) / (p_V ** (1 / t)).sum(), rtol=1e-4, atol=1e-7)
    even = torch.full((1, 1, V), -np.log(V), dtype=torch.float32)
    torch.testing.assert_close(Output(0.0, temperature, per_token=True).mixed(even, None), even)


def test_every_row_sums_to_one(rows):
    for output in (Output(0.4, 0.98, True), Output(0.0, 1.2, False), Output(0.9, 1.0, False)):
        sums = output.mixed(*rows).exp().sum(-1)
        torch.testing.assert_close(sums, torch.ones_like(sums), rtol=0, atol=1e-6)
