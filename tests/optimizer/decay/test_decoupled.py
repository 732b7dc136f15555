"""Every weight shrinks by the same share, whatever its update."""

import torch

from pgolf.optimizer.decay.decoupled import Decoupled


def test_every_weight_shrinks_by_the_rate():
    weights = [torch.randn(3, 4), torch.randn(2, 2)]
    before = [w.clone() for w in weights]
    Decoupled()(weights, [torch.randn(3, 4), torch.randn(2, 2)], 0.25)
    for w, old in zip(weights, before, strict=True):
        assert torch.equal(w, old * 0.75)
