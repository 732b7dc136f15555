"""The published examples: 600 s, 50 ms a step, the last 1,200 steps falling (spec optimizer §9.6)."""

import pytest

from pgolf.train.moment import Moment
from tests.train.rig import warmdown


@pytest.mark.parametrize(("steps", "expected"), [(0, 1.0), (1_000, 1.0), (11_000, 0.8333), (12_000, 0.0)])
def test_the_multiplier_at_published_steps(steps, expected):
    moment = Moment(steps * 0.05 / 600, steps, steps * 0.05)
    assert warmdown(0.1).scale(moment) == pytest.approx(expected, abs=1e-4)


def test_the_floor_holds_to_the_end():
    assert warmdown(0.85, 0.1).foreseen(1.0) == 0.1


def test_a_run_that_always_falls_starts_at_one():
    falling = warmdown(1.0)
    assert falling.foreseen(0.0) == 1.0 and falling.foreseen(0.5) == 0.5


def test_no_warmdown_is_constant():
    assert warmdown(0.0).foreseen(1.0) == 1.0


def test_the_phases_cover_the_run():
    phases = warmdown(0.6).phases()
    assert [(p.start, p.end) for p in phases] == [(0.0, 0.4), (0.4, 1.0)]
