"""A weight decays where the update moves it towards zero, and nowhere else."""

import pytest
import torch

from pgolf.optimizer.decay.cautious import Cautious


def test_weights_decay_where_update_and_weight_have_one_sign():
    weights = [torch.randn(5, 7), torch.tensor([[1.0, -1.0, 2.0, -2.0, 0.0]])]
    updates = [torch.randn(5, 7), torch.tensor([[1.0, 1.0, -1.0, -1.0, 1.0]])]
    before = [w.clone() for w in weights]
    Cautious()(weights, updates, 0.25)
    assert weights[1].tolist() == [[0.75, -1.0, 2.0, -1.5, 0.0]]
    for w, old, update in zip(weights, before, updates, strict=True):
        for place in range(w.numel()):
            one, u, new = (x.flatten()[place].item() for x in (old, update, w))
            assert new == pytest.approx(one - 0.25 * one if one * u >= 0 else one)


def test_an_update_of_zero_decays_as_the_decoupled_one_does():
    w = torch.randn(3, 3)
    before = w.clone()
    Cautious()([w], [torch.zeros(3, 3)], 0.5)
    torch.testing.assert_close(w, 0.5 * before)
