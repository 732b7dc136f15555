"""Phase transition: the residual mix passes from x0 to the stream with depth."""

import pytest
import torch

from pgolf.arch.block import ForwardContext
from pgolf.core.errors import ConfigError
from tests.arch.causality import one_step
from tests.helpers import tiny_model

WORDS = ("arch/init=phase_transition",)


def test_the_share_of_the_stream_rises_from_018_to_082():
    model = tiny_model(*WORDS)
    shares = torch.stack([model.controls[f"{i}_0"].residual_mix[0, 0] for i in range(6)])
    expected = torch.sigmoid(3.0 * (torch.arange(6) / 5 - 0.5))
    torch.testing.assert_close(shares, expected)
    assert shares[0].item() == pytest.approx(0.18, abs=0.005)
    assert shares[-1].item() == pytest.approx(0.82, abs=0.005)
    for controls in model.controls.values():
        torch.testing.assert_close(controls.residual_mix.sum(0), torch.ones(32))


def test_repeated_visits_start_as_their_layer_does():
    model = tiny_model(*WORDS, "arch/recurrence=shared")
    assert torch.equal(model.controls["3_0"].residual_mix, model.controls["3_1"].residual_mix)


def test_a_block_mixes_the_stream_with_x0_from_the_start():
    model = tiny_model(*WORDS)
    x, x0 = torch.randn(2, 1, 8, 32)
    block = model.block(model.routes["plain"].visits[0])
    (found,) = model.lanes.run(block, (x,), ForwardContext(torch.ones(1, 8, dtype=torch.long), x0))
    share = torch.sigmoid(torch.tensor(-1.5))
    torch.testing.assert_close(found, share * x + (1 - share) * x0)


def test_one_layer_has_no_depth_to_pass_through():
    with pytest.raises(ConfigError, match="phase_transition needs 2 layers at least; there is 1"):
        tiny_model(*WORDS, "arch.layers=1")


def test_it_trains():
    assert 0 < one_step(tiny_model(*WORDS)) < 10
