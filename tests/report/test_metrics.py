"""Measurements of a run however it ended."""

import pytest

from pgolf.report.metrics import means, read_metrics


def test_half_a_last_line_is_said_and_the_rest_stands(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "a": 2}\n{"step": 2, "a": null, "b": 1e999}\n{"step": 3, "')
    found = read_metrics(tmp_path)
    assert found.problem == "the last line of metrics.jsonl is half a line"
    assert found.series("a") == [(1.0, 2.0)] and found.series("b") == [] and found.names == ("step", "a")


def test_broken_lines_are_counted_and_named(tmp_path):
    (tmp_path / "metrics.jsonl").write_bytes(b'x\n{"step": 1}\n[1]\n\xff\n\n{"step": 2}\n')
    found = read_metrics(tmp_path)
    assert found.problem == "3 of 6 lines of metrics.jsonl cannot be read, the first is line 1" and len(found.rows) == 2


def test_a_missing_file_and_a_folder_are_problems(tmp_path):
    assert read_metrics(tmp_path).problem == "there is no metrics.jsonl"
    (tmp_path / "metrics.jsonl").mkdir()
    assert read_metrics(tmp_path).problem == "metrics.jsonl is no file"


@pytest.mark.parametrize("count", [0, 1, 7, 10, 11])
def test_means_keep_the_sum_of_full_groups_and_the_last_place(count):
    points = [(float(i), float(i * i)) for i in range(count)]
    found, of = means(points, 5)
    assert len(found) <= 5 and of == max(1, -(-count // 5))
    assert not count or found[-1][0] == count - 1
    assert found[:1] == ([(points[of - 1][0], sum(y for _, y in points[:of]) / of)] if count else [])
