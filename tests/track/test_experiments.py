import csv
import subprocess
import sys
from datetime import datetime, timezone

import pytest

from pgolf.core.errors import RunError
from pgolf.track.experiments import COLUMNS, append_row, check_table, read_rows, row_from_result
from pgolf.track.result import RunFacts, build_result

WHEN = datetime(2026, 11, 22, 4, 0, tzinfo=timezone.utc)


def row(result, **more):
    return row_from_result(result, overrides=["seed=1"], hardware="cpu", world_size=1, now=WHEN, **more)


def test_columns_are_those_of_the_records_page():
    assert len(COLUMNS) == 32 and COLUMNS[0] == "run_id" and COLUMNS[-1] == "notes"


def test_finished_run_fills_its_row(sample):
    made = row(sample().result, notes="first")
    assert set(made) == set(COLUMNS)
    assert made["run_id"] == "baseline-int6_rtn-3f9c21/seed=1337"
    assert made["date_utc"] == "2026-11-22T04:00:00Z"
    assert made["val_bpb_sliding"] == made["val_bpb_final"] == 1.2187
    assert made["val_bpb_quant"] == 1.2437
    assert (made["valid_size"], made["valid_time"], made["valid_metric"]) == (True, True, True)
    assert (made["status"], made["notes"]) == ("finished", "first")


def test_verdicts_follow_cap_clock_certificate_and_subset(sample):
    assert row(sample(over=4312).result)["valid_size"] is False
    assert row(sample(seconds=300.1).result)["valid_time"] is True, "one step may end after the clock"
    paused = sample().result
    paused["ledger"]["train"] = 330.0
    assert row(paused)["valid_time"] is True, "validation by a hook stops the training clock"
    assert row(sample(seconds=301.0).result)["valid_time"] is False
    assert row(sample(broken=True).result)["valid_metric"] is False
    subset = row(sample(subset=True).result)
    assert subset["valid_metric"] is False and subset["notes"] == "subset"


def test_failed_run_has_a_row_with_its_reason(tmp_path):
    facts = RunFacts("n", 1, 2, None, None, "abc", "python train.py")
    result = build_result(status="failed", reason="no disk", run=facts, budget={}, ledger={})
    append_row(tmp_path / "experiments.csv", row(result))
    (back,) = read_rows(tmp_path / "experiments.csv")
    assert back["run_id"] == "n/seed=1.r2" and back["status"] == "failed" and back["notes"] == "no disk"
    assert back["valid_size"] == back["val_bpb_final"] == back["git_sha"] == ""


def test_cells_with_commas_quotes_and_line_breaks_survive(tmp_path, sample):
    path = tmp_path / "deep" / "experiments.csv"
    nasty = 'a, "b"\nc'
    append_row(path, row(sample().result) | {"notes": nasty})
    append_row(path, row(sample().result))
    first, second = read_rows(path)
    assert first["notes"] == nasty and second["valid_size"] == "true"


def test_foreign_header_is_refused_and_nothing_is_written(tmp_path, sample):
    path = tmp_path / "experiments.csv"
    path.write_text("run_id,colour\n")
    for attempt in (
        lambda: append_row(path, row(sample().result)),
        lambda: check_table(path),
        lambda: read_rows(path),
    ):
        with pytest.raises(RunError, match=r"lacks date_utc.*has unknown colour; move it aside"):
            attempt()
    assert path.read_text() == "run_id,colour\n"
    path.write_text(",".join(reversed(COLUMNS)) + "\n")
    with pytest.raises(RunError, match="another order"):
        check_table(path)


def test_place_that_cannot_hold_a_table_is_named(tmp_path):
    (tmp_path / "experiments.csv").mkdir()
    with pytest.raises(RunError, match="cannot be opened for writing"):
        check_table(tmp_path / "experiments.csv")


def test_half_written_line_does_not_swallow_the_next(tmp_path, sample):
    path = tmp_path / "experiments.csv"
    append_row(path, row(sample().result))
    with open(path, "a") as table:
        table.write("crashed,2026")
    append_row(path, row(sample().result))
    rows = read_rows(path)
    assert len(rows) == 3 and rows[2]["status"] == "finished"


def test_many_processes_append_whole_rows(tmp_path):
    path = tmp_path / "experiments.csv"
    script = (
        "import sys; from pathlib import Path; from pgolf.track.experiments import append_row\n"
        "for i in range(25): append_row(Path(sys.argv[1]), {'run_id': sys.argv[2], 'notes': 'x' * 3000})\n"
    )
    workers = [subprocess.Popen([sys.executable, "-c", script, str(path), str(n)]) for n in range(4)]
    assert [worker.wait() for worker in workers] == [0] * 4
    with open(path, newline="") as table:
        rows = list(csv.reader(table))
    assert rows[0] == list(COLUMNS) and len(rows) == 101 and {len(r) for r in rows} == {len(COLUMNS)}
