"""The growth penalty of #1231, against numbers worked by hand."""

import pytest
import torch

from pgolf.arch.block import ForwardContext
from pgolf.arch.recurrence.growth import BEFORE, Growth, growth_penalty


def stream(*values):
    return torch.tensor(values).view(1, 1, -1)


def context(targets=True):
    some = torch.zeros(1, 1, dtype=torch.int64)
    return ForwardContext(some, stream(0.0, 0.0), targets_BT=some if targets else None)


@pytest.mark.parametrize(
    ("after", "penalty"),
    [
        ((3.0, 4.0), 0.0),  # nothing moved
        ((6.0, 8.0), 0.0),  # moved by its own length, 5: a ratio of 1
        ((3.0, 14.0), 1.0),  # moved by 10: 10/5 − 1 = 1
        ((-6.0, -8.0), 4.0),  # moved by (−9, −12), 15: (15/5 − 1)² = 4
    ],
)
def test_the_penalty_is_the_square_of_what_the_ratio_exceeds_one_by(after, penalty):
    before = stream(3.0, 4.0)  # length 5
    torch.testing.assert_close(growth_penalty(before, stream(*after)), torch.tensor(penalty), atol=1e-5, rtol=0)


def test_the_norms_are_over_the_whole_batch_and_not_of_each_token():
    before = torch.tensor([[[3.0, 0.0], [0.0, 4.0]]])  # length 5; tokens 3 and 4
    after = before + torch.tensor([[[0.0, 0.0], [0.0, 10.0]]])  # moved by 10; tokens 0 and 10
    assert growth_penalty(before, after).item() == pytest.approx(1.0, abs=1e-5)


def test_the_weight_is_that_of_the_setting_and_acts_in_training_alone():
    training, scoring = context(), context(targets=False)
    for where in (training, scoring):
        growth = Growth(0.01)
        growth.enter((stream(3.0, 4.0),), where)
        growth.leave((stream(3.0, 14.0),), where)
    assert [term.item() for term in training.auxiliary] == pytest.approx([0.01], abs=1e-6)
    assert not scoring.auxiliary and BEFORE not in scoring.shared


def test_no_weight_is_no_penalty():
    where, growth = context(), Growth(0.0)
    growth.enter((stream(3.0, 4.0),), where)
    growth.leave((stream(3.0, 14.0),), where)
    assert not where.auxiliary and not where.shared


def test_of_two_lanes_the_mean_counts():
    where, growth = context(), Growth(1.0)
    growth.enter((stream(3.0, 4.0),), where)
    growth.leave((stream(0.0, 14.0), stream(6.0, 14.0)), where)
    assert where.auxiliary[0].item() == pytest.approx(1.0, abs=1e-5)
