"""Tables that others kept: every row is a number or is named with its word."""

import pytest

from pgolf.cli.main import main
from pgolf.core.errors import RunError
from pgolf.report.published_table import read_table

COLUMNS = "name,train_wall_sec,file_size_bytes,model_size_bytes,other_artifacts_bytes,gpus"
CSV = f"""{COLUMNS},eval_wall_sec,val_bpb,commit_id,run_command
good,600,14678293,14619784,58509,1,10.99,1.3448,abc,"RUN_ID=x train.py (1764 steps @ 340ms, 14.7MB)"
milliseconds,600,15400000,,,8,152171,1.1233,abc,"1,200 steps @ 93.5ms"
sizes,600,15900000,,,8,30,1.1200,abc,"(15.7MB, better)"
over,4800,17021666,,,1,13.9,1.1910,abc,"17.0MB OVER LIMIT"
waiting,600,,,,8,,pending,abc,"to be run"
guess,600,,,,8,,~1.27,abc,"about"
boom,600,,,,8,,crashed,abc,"out of memory"
good,600,14000000,,,1,10,1.35,abc,"again"
"""
TSV = """commit\tval_bpb\tpre_ttt_bpb\tmemory_gb\tstatus\tdescription
aaa\t1.4199\t1.3686\t20.1\tkeep\tbase
bbb\t0.0\t0.0\t0\tcrash\tSwiGLU out of memory
"""


@pytest.fixture
def rows(tmp_path):
    def read(text, name):
        (tmp_path / name).write_text(text)
        return {f"{row.name} {row.source.name.rpartition(':')[2]}": row for row in read_table(tmp_path / name)}

    return read


def test_rows_with_numbers_are_entries(rows):
    good = rows(CSV, "experiments.csv")["good 2"]
    assert (good.val_bpb, good.bytes_total, good.train_seconds, good.eval_seconds) == (1.3448, 14_678_293, 600, 10.99)
    assert (good.steps, good.ms_per_step, good.excluded, good.notes) == (1764, 340, "", ())
    base = rows(TSV, "results.tsv")["aaa 2"]
    assert (base.val_bpb, base.prequant_bpb, base.excluded) == (1.4199, 1.3686, "")


def test_words_in_place_of_scores_are_named_with_the_word(rows):
    found = rows(CSV, "experiments.csv")
    for name, word in (("waiting 6", "pending"), ("guess 7", "~1.27"), ("boom 8", "crashed")):
        assert repr(word) in found[name].excluded
    assert "crash" in rows(TSV, "results.tsv")["bbb 3"].excluded
    assert "1,021,666 bytes over the cap" in found["over 5"].excluded


def test_what_a_row_gets_wrong_is_said(rows):
    found = rows(CSV, "experiments.csv")
    assert (
        found["milliseconds 3"].eval_seconds == pytest.approx(152.171)
        and "milliseconds" in found["milliseconds 3"].notes[0]
    )
    assert found["sizes 4"].notes == ("15.90 MB stand in its column, 15.7 MB in its remark",)
    assert found["good 9"].notes == ("the name stands in row 2 too",)


@pytest.mark.parametrize(
    "text",
    ["", "a,b\n1,2\n", "name,val_bpb\n", "val_bpb\n1.2\n", "name,val_bpb,val_bpb\na,1,2\n", "run_id,val_bpb\nx,1\n"],
)
def test_other_tables_are_refused(rows, text):
    with pytest.raises(RunError, match="table"):
        rows(text, "x.csv")


def test_rows_stand_in_one_table_beside_what_does_not_count(tmp_path, capsys):
    (tmp_path / "experiments.csv").write_text(CSV)
    (tmp_path / "log.txt").write_text("nothing\n")
    assert main(["report", "--import-log", str(tmp_path / "experiments.csv"), str(tmp_path / "log.txt")]) == 0
    text = capsys.readouterr().out
    assert "8 rows in all, 4 claimed with a number" in text and "1.3448" in text
    assert "its val_bpb is 'pending'" in text and "no log of a known format" in text
