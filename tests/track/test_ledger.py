import pytest

from pgolf.track.ledger import FREE_BUILD_SECONDS, StageLedger, spent, stage_of, stages_alone, within


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_stages_sum_and_nested_time_is_counted_once():
    clock = Clock()
    ledger = StageLedger(clock=clock)
    with ledger.stage("prepare"):
        clock.now += 2
    clock.now += 50  # between stages: nobody's
    with ledger.stage("train"):
        clock.now += 10
        with ledger.stage("validate"):
            clock.now += 3
        clock.now += 1
        assert ledger.as_dict()["train"] == 11
    with ledger.stage("prepare"):
        clock.now += 0.5
    assert ledger.as_dict() == {"prepare": 2.5, "train": 11, "validate": 3}
    assert ledger.total == 16.5


def test_what_was_spent_inside_a_stage_or_by_an_earlier_process_adds_up():
    clock = Clock()
    ledger = StageLedger(clock=clock, before={"prepare": 3.0, "train": 4.0})
    with ledger.stage("train"):
        clock.now += 10
        ledger.inside("checkpoint", 2.0)
        clock.now += 1
    ledger.inside("checkpoint", 0.5)
    assert ledger.as_dict() == {"prepare": 3.0, "train": 13.0, "checkpoint": 2.5}


def test_stage_that_raises_is_counted():
    clock = Clock()
    ledger = StageLedger(clock=clock)
    with pytest.raises(KeyError), ledger.stage("train"):
        clock.now += 4
        raise KeyError
    assert ledger.as_dict() == {"train": 4}


def test_limits_hold_by_the_training_clock_and_calibration_counts():
    train = {"seconds": 300.05, "ms_per_step": 100.0}
    result = {
        "ledger": {"train": 333.0, "evaluate": 60.0},
        "budget": {"train_seconds": 300, "eval_seconds": 59},
    }
    assert within(result | {"train": train}, "train_seconds")
    assert not within(result | {"train": None}, "train_seconds")
    assert not within(result | {"train": train}, "eval_seconds")
    assert within(result | {"train": train}, "probe_seconds")
    result["ledger"]["calibrate"] = 1.0
    assert not within(result | {"train": train}, "train_seconds")


def test_calibration_is_charged_to_training():
    ledger = StageLedger(budget={"train_seconds": 300, "eval_seconds": None}, clock=Clock())
    ledger.add("train", 250.0)
    ledger.add("calibrate", 60.0)
    ledger.add("evaluate", 999.0)
    assert ledger.spent("train_seconds") == 310
    assert ledger.left("train_seconds") == -10
    assert ledger.left("eval_seconds") is None and ledger.left("probe_seconds") is None


def test_evaluation_is_as_long_as_its_score_says():
    result = {"budget": {"eval_seconds": 30.0}, "ledger": {"evaluate": 31.0}, "train": None}
    assert not within(result, "eval_seconds")
    assert within(result | {"scores": {"final": {"seconds": 29.7}}}, "eval_seconds")
    assert not within(result | {"scores": {"final": {"seconds": 30.1}}}, "eval_seconds")


def test_what_a_part_of_a_stage_took_is_told_and_counts_in_no_sum():
    clock = Clock()
    ledger = StageLedger(budget={"eval_seconds": 60}, clock=clock)
    with ledger.stage("evaluate"):
        clock.now += 10
    ledger.parts("evaluate", {"network": 14.0, "tree": 3.0})  # two threads
    ledger.parts("evaluate", {"tree": 1.0})
    assert ledger.as_dict() == {"evaluate": 10, "evaluate/network": 14.0, "evaluate/tree": 4.0}
    assert ledger.total == 10 and ledger.left("eval_seconds") == 50
    assert within({"budget": {"eval_seconds": 10.0}, "ledger": ledger.as_dict(), "train": None}, "eval_seconds")


def test_a_slash_alone_makes_no_part():
    ledger = {"a/b": 1.0, "train": 2.0, "train/c/d": 3.0, "train/": 4.0, "/train": 5.0}
    assert [stage_of(line, ledger) for line in ledger] == ["a/b", "train", "train", "train", "/train"]
    assert stages_alone(ledger) == {"a/b": 1.0, "train": 2.0, "/train": 5.0}
    assert stages_alone({"prepare": 1.0, "evaluate": 2.0}) == {"prepare": 1.0, "evaluate": 2.0}, "as runs were before"


def test_a_build_that_lasts_is_training_by_another_name():
    train = {"seconds": 290.0, "ms_per_step": 100.0}
    budget = {"train_seconds": 300}
    for build, fits in ((0.0, True), (FREE_BUILD_SECONDS, True), (29.9, True), (31.0, False), (74.0, False)):
        ledger = {"build": build, "train": 999.0}
        assert within({"ledger": ledger, "budget": budget, "train": train}, "train_seconds") is fits
    assert spent({"build": 74.0, "evaluate": 5.0}, "eval_seconds") == 5.0
