"""The depthwise taps are the written-out sum."""

import torch

from pgolf.arch.taps import causal_taps


def test_taps_are_the_weighted_sum_of_the_last_values():
    x, weight, bias = torch.randn(2, 7, 5), torch.randn(3, 5), torch.randn(5)
    expected = torch.stack([sum(weight[j] * x[:, t - j] for j in range(3) if t >= j) + bias for t in range(7)], dim=1)
    torch.testing.assert_close(causal_taps(x, weight, bias), expected)
