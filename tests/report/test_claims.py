"""A published claim and a run of its form stand in one table, and the sums of its rows say what the claim is."""

import pytest

from pgolf.cli.main import main
from tests.report.making import write_run
from tests.report.test_published_log import FIRST

LOG = FIRST + "ngram_cache_exact val_loss:1.84785000 val_bpb:1.09440000\n"


@pytest.fixture
def lines(tmp_path, capsys):
    (tmp_path / "pr1026").mkdir()
    (tmp_path / "pr1026/train_seed42.log").write_text(LOG)

    def of(*words):
        assert main(["report", *map(str, words), "--import-log", str(tmp_path / "pr1026")]) == 0
        text = capsys.readouterr().out
        _, _, table = text.partition("Claims, and what their rows sum to\n")
        return table.split("\n\n")[0].splitlines()

    return of


def test_a_claim_a_run_of_its_form_and_its_valid_twin_are_rows_of_one_table(tmp_path, lines):
    runs = tmp_path / "runs"
    why = "(a) rows sum to 1.56"
    form = {"status": "certificate_failed", "reason": why, "passed": False, "valid": False}
    write_run(runs, "form", 1, 1.2329, **form, sum_p_mean=1.56, sum_p_max=2.0, renormalised_bpb=1.3686)
    write_run(runs, "twin", 1, 1.31)
    found = lines(runs)
    published, ours, twin = found[1:4]
    assert published.split()[:1] == ["published"] and "pr1026, seed 42" in published
    assert "1.0944" in published and "1.1312" in published and "Σ" not in published and "a claim" in published
    assert all(part in ours for part in ("ours", "form, seed 1", "1.2329", "1.560", "2.00", "1.3686", "no code length"))
    assert "certified" in twin and "1.3100" in twin
    assert "no number of theirs may be set against one of ours" in " ".join(found)


def test_what_a_decoder_is_told_besides_is_no_part_of_the_claim(tmp_path, lines):
    write_run(tmp_path / "runs", "sorted", 1, 1.304, claimed_bpb=1.300, renormalised_bpb=1.304, side_bits=16.0)
    (row,) = [line for line in lines(tmp_path / "runs") if "sorted" in line]
    assert "1.3000" in row and "with what a decoder is told 1.3040" in row


def test_without_a_log_or_a_score_of_ours_there_is_no_such_table(tmp_path, lines, capsys):
    (tmp_path / "runs/x/seed=1").mkdir(parents=True)
    assert lines(tmp_path / "runs") == []
    write_run(tmp_path / "others", "y", 1, 1.3)
    assert main(["report", str(tmp_path / "others")]) == 0
    assert "Claims" not in capsys.readouterr().out
