"""The picture of the sweep over buckets: drawn from its table, the same bytes each time, from no other table."""

from pathlib import Path

import pytest

from pgolf.core.errors import RunError
from pgolf.track.buckets import draw_buckets

pytest.importorskip("matplotlib", reason="the extra 'plot' is not installed")

RESULTS = Path(__file__).parents[2] / "sweeps" / "results"


def test_the_picture_of_the_sweep_says_all_that_its_table_does(tmp_path):
    draw_buckets(RESULTS / "buckets.csv", tmp_path / "one.svg")
    draw_buckets(RESULTS / "buckets.csv", tmp_path / "two.svg")
    one = (tmp_path / "one.svg").read_text()
    assert one == (tmp_path / "two.svg").read_text()
    for said in ("exact counts, 1.2993", "network alone, 1.2488", "a distribution", "bits per byte", "2^{24}"):
        assert f">{said}" in one or f"<!-- ${said}" in one, said


def test_a_table_of_something_else_is_refused(tmp_path):
    table = tmp_path / "x.csv"
    for text in ("", "buckets,claimed\n1,2\n", "buckets,claimed,mean_sum,most_sum,renormalised\n2,1,1,1,1\n"):
        table.write_text(text)
        with pytest.raises(RunError, match=r"x\.csv: "):
            draw_buckets(table, tmp_path / "x.svg")
