"""The rate of each chunk."""

import pytest

from pgolf.ttt.rate import Rate


def test_it_falls_along_half_a_cosine():
    falling = Rate(lr=2.0, final=0.0, rise=1.0, rise_share=0.3)
    assert [falling.at(chunk, 5) for chunk in (0, 2, 4, 7)] == pytest.approx([2.0, 1.0, 0.0, 0.0])
    assert Rate(2.0, 0.5, 1.0, 0.3).at(4, 5) == pytest.approx(1.0)


def test_it_stays_where_its_end_is_its_beginning():
    assert [Rate(2.0, 1.0, 1.0, 0.3).at(chunk, 5) for chunk in range(5)] == [2.0] * 5
    assert Rate(2.0, 0.0, 1.0, 0.3).at(0, 1) == 2.0


def test_it_rises_as_687_has_it():
    """There: lr · ½(1 + cos) · (1 + 2·min(1, c / max(1, 0.3·n)))."""
    rising = Rate(1.0, 1.0, 3.0, 0.3)
    assert [rising.at(chunk, 20) for chunk in (0, 3, 6, 19)] == pytest.approx([1.0, 2.0, 3.0, 3.0])
    assert Rate(1.0, 0.0, 3.0, 0.3).at(10, 21) == pytest.approx(3.0 * 0.5)
