"""Runs are found, filtered, sorted and compared by what they are."""

import os

import pytest

from pgolf.cli.main import main
from pgolf.core.errors import ConfigError, RunError
from pgolf.report.history import RunHistory, best, changed, last
from tests.report.making import config, write_run

TREE = {"choices__mixer": "tree", "mixer": {"_target_": "pgolf.mixer.tree.Tree", "rate": 0.1}}


@pytest.fixture
def root(tmp_path):
    for index, (name, seed, bpb, changes) in enumerate(
        [
            ("plain", 1, 1.25, {}),
            ("plain", 2, 1.24, {}),
            ("tree", 1, 1.20, {"cfg": config(**TREE)}),
            (
                "fast",
                1,
                1.10,
                {"cfg": config(optimizer__matrix_lr=0.05), "status": "over_cap", "bytes_total": 1_200_000},
            ),
        ]
    ):
        folder = write_run(tmp_path / "runs", name, seed, bpb, **changes)
        os.utime(folder / "result.json", (1_700_000_000 + 86_400 * index,) * 2)
    (tmp_path / "runs" / "new" / "seed=1").mkdir(parents=True)
    (tmp_path / "runs" / "new" / "seed=1" / "config.yaml").write_text("seed: 1\n")
    (tmp_path / "runs" / "bad" / "seed=1").mkdir(parents=True)
    (tmp_path / "runs" / "bad" / "seed=1" / "result.json").write_text("{")
    return tmp_path / "runs"


def runs(rows):
    return [row.run for row in rows]


def test_every_folder_has_its_row(root):
    rows = {row.run: row for row in RunHistory([root]).rows}
    assert len(rows) == 6
    assert rows["tree/seed=1"].valid and rows["tree/seed=1"].score == 1.20 and not rows["fast/seed=1"].valid
    assert rows["new/seed=1"].status == "unfinished" and rows["bad/seed=1"].status == "unreadable"
    assert "not JSON" in rows["bad/seed=1"].why


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (["status=finished"], {"plain/seed=1", "plain/seed=2", "tree/seed=1"}),
        (["score<1.245", "valid=true"], {"plain/seed=2", "tree/seed=1"}),
        (["seed=2"], {"plain/seed=2"}),
        (["seed=2.0"], {"plain/seed=2"}),
        (["name~lai", "score!=1.25"], {"plain/seed=2"}),
        (["mixer=tree"], {"tree/seed=1"}),
        (["mixer.rate>=0.1"], {"tree/seed=1"}),
        (["optimizer.matrix_lr>0.02"], {"fast/seed=1"}),
        (["date>2023-11-16"], {"tree/seed=1", "fast/seed=1"}),
        (["bytes>1e6"], {"fast/seed=1"}),
        (["status!=finished"], {"fast/seed=1", "new/seed=1", "bad/seed=1"}),
    ],
)
def test_filters_hold_for_fields_and_for_keys_of_configs(root, filters, found):
    assert set(runs(RunHistory([root]).chosen(filters))) == found


def test_order_is_by_any_key_with_what_has_none_at_the_end(root):
    history = RunHistory([root])
    assert runs(history.chosen([], "score"))[:2] == ["fast/seed=1", "tree/seed=1"]
    assert runs(history.chosen([], "-score"))[:2] == ["plain/seed=1", "plain/seed=2"]
    assert set(runs(history.chosen([], "-date"))[4:]) == {"new/seed=1", "bad/seed=1"}
    assert runs(history.chosen(["status=finished"], "-mixer"))[0] == "tree/seed=1"


@pytest.mark.parametrize("words", [["scroe<1"], ["nothing.at.all=1"]])
def test_a_key_that_no_run_has_is_refused(root, words):
    with pytest.raises(ConfigError, match="no run here has it"):
        RunHistory([root]).chosen(words)
    with pytest.raises(ConfigError, match=r"no run here has it.*Did you mean 'score'"):
        RunHistory([root]).chosen([], "scroe")


def test_the_best_counts_and_the_last_ended(root):
    rows = RunHistory([root]).rows
    assert best(rows).run == "tree/seed=1" and last(rows).run == "fast/seed=1"
    with pytest.raises(RunError, match="counts"):
        best([row for row in rows if not row.valid])
    write_run(root, "other", 1, 0.9, bytes=5)
    with pytest.raises(RunError, match="several texts"):
        best(RunHistory([root]).rows)


def test_what_changed_between_two_runs_is_what_was_set_and_what_came_of_it(root):
    history = RunHistory([root])
    found = changed(history, best(history.rows), last(history.rows))
    assert [(one.key, one.old, one.new) for one in found.settings] == [
        ("mixer", "tree", "none"),
        ("optimizer.matrix_lr", "0.02", "0.05"),
    ]
    assert ("score", 1.20, 1.10) in found.results and ("bytes", 900_000, 1_200_000) in found.results


@pytest.fixture
def command(root, capsys):
    def run(*words, status=0):
        assert main(["runs", str(root), *words]) == status
        out = capsys.readouterr()
        return out.err if status else out.out

    return run


def test_the_table_says_how_many_more_there_are(command):
    text = command("--limit", "2", "--sort", "score", "--columns", "run,score,mixer")
    assert "6 of 6 runs" in text and "4 more" in text and text.split().index("1.1000") < text.split().index("1.2000")
    assert "tree" in command("--limit", "0", "--columns", "run,mixer")


def test_a_difference_is_printed_between_words_folders_and_rows(command, root):
    assert "optimizer.matrix_lr" in command("--diff", "best", "last")
    text = command("--diff", "plain/seed=1", str(root / "plain" / "seed=2"))
    assert "the same settings" in text and "-0.0100" in text
    assert "python train.py" in command("--diff", "plain/seed=1", "now")
    assert "none of best" in command("--diff", "plain/seed=9", "last", status=2)


def test_wrong_words_are_refused(command, tmp_path):
    assert "nothing here" in command(str(tmp_path / "no"), status=2)
    assert "no run here has it" in command("colour=red", status=2)
    assert "no run here has it" in command("--columns", "run,colour", status=2)
