"""No pruning leaves what it is given."""

import torch

from tests.quant.nodes import child, info, make


def test_nothing_changes():
    w = torch.randn(4, 8)
    none = make(child("pruning", "none"))
    assert none.pruned(w, info()) is w and none.zero_codes(w, info()) is None
