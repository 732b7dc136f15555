"""``pgolf report`` from end to end."""

import pytest

from pgolf.cli.main import main
from tests.report.making import config, write_run, write_seeds


@pytest.fixture
def report(capsys):
    def run(*words, status=0):
        assert main(["report", *map(str, words)]) == status
        out = capsys.readouterr()
        return out.err if status else out.out

    return run


def test_one_experiment_with_its_verdict(tmp_path, report):
    write_seeds(tmp_path, "x", [1.20, 1.21, 1.22])
    text = report(tmp_path, "--against", "1.3")
    for part in (
        "1.210000",
        "0.010000",
        "std, n−1",
        "worst",
        "3 runs in all, 3 counted",
        "verdict: a record by the rule",
    ):
        assert part in text
    assert "scored on sotu, validation: 1,000 tokens, 4,000 raw bytes" in text


def test_every_run_that_does_not_count_stands_there_with_its_claim(tmp_path, report):
    write_seeds(tmp_path, "x", [1.20, 1.21])
    write_run(tmp_path, "x", 3, 0.5, status="certificate_failed", reason="(a)", sum_p_mean=23.1, sum_p_max=405.0,
              renormalised_bpb=1.9, passed=False)  # fmt: skip
    (tmp_path / "x" / "seed=4").mkdir()
    text = report(tmp_path)
    (row,) = [line for line in text.splitlines() if "certificate failed" in line and "seed=3" in line]
    assert all(part in row for part in ("0.5000", "23.100", "405.00", "1.9000"))
    assert "empty: the run has not begun" in text and "3 runs in all, 2 counted; not counted: seed 3" in text
    mean = next(line for line in text.splitlines() if line.split()[:1] == ["mean"])
    assert "1.205000" in mean


def test_markdown_tables_are_as_wide_as_their_headers(tmp_path, report):
    write_seeds(tmp_path, "x", [1.20, 1.21, 1.22])
    write_seeds(tmp_path, "y", [1.30, 1.31, 1.32], cfg=config(optimizer__matrix_lr=0.1))
    lines = report(tmp_path, "--markdown", "--against", tmp_path / "y").splitlines()
    tables = "\n".join(line if line.startswith("|") else "" for line in lines).split("\n\n")
    for table in filter(None, (table.strip() for table in tables)):
        assert len({row.count("|") for row in table.splitlines()}) == 1, table
    assert any(line.startswith("| optimizer.matrix_lr=0.1") or line.startswith("| (base)") for line in lines)


def test_dev_scores_are_said_to_be_uncertified(tmp_path, report):
    write_seeds(tmp_path, "x", [1.20, 1.21, 1.22])
    assert "not certified" in report(tmp_path, "--score", "dev")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name a folder of runs"),
        (["/does/not/exist"], "nothing here"),
        (["RUNS", "--seeds", "1,x"], "no list of whole numbers"),
        (["RUNS", "--against", "fast"], "neither a path"),
        (["RUNS", "--published", "/does/not/exist.csv"], "no table of"),
    ],
)
def test_wrong_words_are_refused_by_name(tmp_path, report, words, message):
    write_seeds(tmp_path, "x", [1.20, 1.21])
    assert message in report(*[str(tmp_path) if word == "RUNS" else word for word in words], status=2)


def test_nothing_but_broken_runs_is_still_a_report(tmp_path, report):
    (tmp_path / "seed=1").mkdir()
    assert "empty" in report(tmp_path)
