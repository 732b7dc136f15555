"""Score against bytes: who is beaten in both by nobody."""

import pytest

from pgolf.report.frontier import frontier
from pgolf.report.gather import gather
from tests.report.making import write_run


def test_the_frontier_is_what_no_other_run_beats_in_both(tmp_path):
    points = {1: (900, 1.30), 2: (950, 1.20), 3: (950, 1.25), 4: (970, 1.20), 5: (990, 1.10), 6: (800, 1.40)}
    for seed, (kilobytes, bpb) in points.items():
        write_run(tmp_path, "x", seed, bpb, bytes_total=1000 * kilobytes)
    write_run(tmp_path, "x", 7, 0.1, sum_p_max=2.0)  # no code length
    write_run(tmp_path, "x", 8, 0.2, bytes=9)  # another text
    found = frontier(gather([tmp_path]).entries)
    beaten = {
        a.seed
        for a in found.runs
        for b in found.runs
        if (b.bytes_total, b.val_bpb) != (a.bytes_total, a.val_bpb)
        and b.bytes_total <= a.bytes_total
        and b.val_bpb <= a.val_bpb
    }
    assert [run.seed for run in found.best] == [6, 1, 2, 5] and {run.seed for run in found.best} == set(points) - beaten
    assert found.elsewhere == 1 and found.cap_bytes == 1_000_000


@pytest.mark.parametrize("bpb", [None])
def test_where_nothing_counts_there_is_none(tmp_path, bpb):
    write_run(tmp_path, "x", 1, bpb)
    assert frontier(gather([tmp_path]).entries) is None
