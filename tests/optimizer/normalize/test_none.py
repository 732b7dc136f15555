"""Nothing is normalised, nothing remembered."""

import torch

from pgolf.optimizer.normalize.none import NoNormalizer


def test_nothing_is_changed_and_nothing_remembered():
    normalizer, u_KMN = NoNormalizer(), torch.randn(2, 3, 4)
    assert normalizer.new_state(u_KMN) == {}
    assert normalizer.before(u_KMN) is u_KMN and normalizer.after(u_KMN, {}) is u_KMN
