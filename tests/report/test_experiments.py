"""Seeds are averaged, nothing else is."""

import json
import math
import shutil

import pytest

from pgolf.report.experiments import experiments
from pgolf.report.gather import gather
from tests.report.making import config, write_run, write_seeds


def made(root, expected=(), which="final"):
    return experiments(gather([root], which).entries, expected)


def test_seeds_of_one_config_have_one_mean(tmp_path):
    write_seeds(tmp_path, "x", [1.20, 1.22, 1.24])
    (one,) = made(tmp_path)
    assert one.bpb.mean == pytest.approx(1.22) and one.bpb.std == pytest.approx(0.02) and one.bpb.n == 3
    assert one.loss.mean == pytest.approx(1.22 * 4 * math.log(2)) and one.worst_bytes == 900_000


def test_configs_are_never_averaged_even_under_one_name(tmp_path):
    write_run(tmp_path, "x", 1, 1.2)
    write_run(tmp_path, "x", 2, 1.3, cfg=config(optimizer__matrix_lr=0.03))
    found = made(tmp_path)
    assert [one.bpb.n for one in found] == [1, 1]
    assert all(any("2 configs have this name" in remark for remark in one.remarks) for one in found)


@pytest.mark.parametrize("change", [{"bytes": 4001}, {"tokens": 999}, {"metric": "table"}, {"method": "streaming"}])
def test_scores_of_other_texts_vocabularies_or_methods_have_no_mean(tmp_path, change):
    write_run(tmp_path, "x", 1, 1.2)
    write_run(tmp_path, "x", 2, 1.3, **change)
    (one,) = made(tmp_path)
    assert one.bpb is None and one.loss is None and "not averaged" in one.refusal and "seed 2" in one.refusal


def test_a_rerun_is_named_and_its_seed_counts_once(tmp_path):
    write_seeds(tmp_path, "x", [1.20, 1.30])
    write_run(tmp_path, "x", 1, 1.22, rerun=2)
    (one,) = made(tmp_path)
    assert one.bpb.n == 2 and one.bpb.mean == pytest.approx((1.21 + 1.30) / 2)
    (remark,) = [remark for remark in one.remarks if "claim seed 1" in remark]
    assert "seed=1.r2" in remark and remark.startswith("2 runs")


def test_a_rerun_takes_the_place_of_a_run_that_does_not_count(tmp_path):
    write_run(tmp_path, "x", 1, 1.1, status="over_time", reason="late")
    write_run(tmp_path, "x", 1, 1.2, rerun=2)
    (one,) = made(tmp_path)
    assert one.bpb.mean == 1.2 and len(one.runs) == 2


def test_two_folders_that_claim_a_seed_are_named_and_a_copy_counts_once(tmp_path):
    first = write_run(tmp_path / "a", "x", 1, 1.2)
    shutil.copytree(first, tmp_path / "b" / "x" / "seed=1")
    write_run(tmp_path / "c", "x", 1, 1.4)
    (one,) = made(tmp_path)
    assert [bool(run.excluded) for run in one.runs] == [False, True, False] and "a copy of" in one.runs[1].excluded
    assert one.bpb.n == 1 and one.bpb.mean == pytest.approx(1.3)
    assert any("2 runs claim seed 1" in remark for remark in one.remarks)


def test_missing_seeds_are_named(tmp_path):
    write_seeds(tmp_path, "x", [1.2, 1.3, 1.4])
    write_seeds(tmp_path, "y", [1.2, 1.3], cfg=config(optimizer__matrix_lr=0.1))
    write_seeds(tmp_path, "z", [1.2, 1.3, 1.4], cfg=config(optimizer__matrix_lr=0.2))
    x, y, _ = made(tmp_path)
    assert not x.remarks and y.remarks == ("missing: seed 3",)
    assert made(tmp_path, [1, 9])[0].remarks == ("missing: seed 9",)


def test_nothing_that_counts_has_no_mean(tmp_path):
    write_run(tmp_path, "x", 1, 1.2, status="over_cap", reason="over")
    (one,) = made(tmp_path)
    assert one.bpb is None and not one.counted and one.worst_bytes is None


def test_training_that_took_too_long_is_said_of_the_seed(tmp_path):
    write_run(tmp_path, "x", 1, 1.2, seconds=500.0, cfg=config(budget__train_steps=1000))
    (one,) = made(tmp_path)
    assert one.bpb.n == 1
    assert one.remarks == ("seed 1: training took 502.0 s of 300 allowed; the number of its steps was fixed",)


def test_one_artifact_is_no_two_trainings_but_a_rerun_may_come_to_it_again(tmp_path):
    write_seeds(tmp_path, "x", [1.20, 1.22])
    write_run(tmp_path, "x", 2, 1.22, rerun=2)
    for name, of in (("seed=2", "seed=1"), ("seed=2.r2", "seed=1")):
        path = tmp_path / "x" / name / "result.json"
        result = json.loads(path.read_text())
        result["artifact"]["sha256"] = json.loads((tmp_path / "x" / of / "result.json").read_text())["artifact"][
            "sha256"
        ]
        path.write_text(json.dumps(result))
    (one,) = made(tmp_path)
    assert (
        one.seeds == (1,)
        and [run.excluded for run in one.runs if run.excluded]
        == ["its artifact is that of seed 1: a copy, whatever its seed is said to be"] * 2
    )
    write_seeds(tmp_path, "y", [1.20, 1.22])
    write_run(tmp_path, "y", 1, 1.20, rerun=2)
    first, again = (tmp_path / "y" / name / "result.json" for name in ("seed=1", "seed=1.r2"))
    result = json.loads(again.read_text())
    result["artifact"]["sha256"] = json.loads(first.read_text())["artifact"]["sha256"]
    again.write_text(json.dumps(result))
    (one,) = made(tmp_path / "y")
    assert len(one.counted) == 3
