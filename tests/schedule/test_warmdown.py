"""The published examples: 600 s, 50 ms a step, the last 1,200 steps falling (spec optimizer §9.6)."""

import pytest

from pgolf.schedule.warmdown import Warmdown


@pytest.mark.parametrize(("steps", "expected"), [(0, 1.0), (1_000, 1.0), (11_000, 0.8333), (12_000, 0.0)])
def test_the_multiplier_at_published_steps(steps, expected):
    assert Warmdown(fraction=0.1, floor=0.0).scale(steps * 0.05 / 600) == pytest.approx(expected, abs=1e-4)


def test_the_floor_holds_to_the_end():
    assert Warmdown(fraction=0.85, floor=0.1).scale(1.0) == 0.1


def test_a_run_that_always_falls_starts_at_one():
    falling = Warmdown(fraction=1.0, floor=0.0)
    assert falling.scale(0.0) == 1.0 and falling.scale(0.5) == 0.5


def test_no_warmdown_is_constant():
    assert Warmdown(fraction=0.0, floor=0.0).scale(1.0) == 1.0


def test_the_phases_cover_the_run():
    phases = Warmdown(fraction=0.6, floor=0.0).phases()
    assert [(p.start, p.end) for p in phases] == [(0.0, 0.4), (0.4, 1.0)]
