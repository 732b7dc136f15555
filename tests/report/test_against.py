"""Verdicts against a record, in words that say no more than the numbers."""

import json
import math

import pytest

from pgolf.core.errors import RunError
from pgolf.report.against import Reference, compared
from pgolf.report.entry import ReportedRun, ScoredText
from pgolf.report.experiments import Experiment
from pgolf.report.reference import read_reference
from pgolf.report.statistics import Sample
from tests.report.making import config, write_run, write_seeds
from tests.report.test_statistics import PR1019_NATS, PR1204_NATS

PER_TOKEN = 2.4359
FINEWEB = ScoredText("fineweb", "val", "table", 151_000_000, 62_021_632, "sliding")
SOTU = ScoredText("sotu", "val", "raw", 4000, 1000, "sliding")


def ours(nats, scored=FINEWEB, per_token=PER_TOKEN):
    runs = [
        ReportedRun(None, "ours", "k", seed, val_loss=loss, val_bpb=loss / math.log(2) / per_token, scored=scored,
              bytes_per_token=per_token)
        for seed, loss in enumerate(nats)
    ]  # fmt: skip
    return Experiment("ours", "k", tuple(runs))


def theirs(nats, per_token=PER_TOKEN, **changes):
    facts = {"loss": Sample.of(nats), "bytes_per_token": per_token, "published": True}
    return Reference("theirs", Sample.of([loss / math.log(2) / per_token for loss in nats]), **(facts | changes))


def test_pr1204_is_better_than_pr1019_and_no_record_by_the_letter():
    found = compared(ours(PR1204_NATS), theirs(PR1019_NATS))
    plain, margin = found.table.rows[1], found.table.rows[2]
    assert plain[5:] == ("-8.5679", "2.1776", "0.01025", "0.00512") and margin[5:] == (
        "-5.5765",
        "2.1776",
        "0.02528",
        "0.01264",
    )
    assert found.verdict == "better"
    assert "is not met, p = 0.01264" in found.sentence and "(one-sided p < 0.25, no margin) is met" in found.sentence


def test_what_is_better_by_the_margin_is_a_record_by_the_rule():
    found = compared(ours([loss - 0.02 for loss in PR1204_NATS]), theirs(PR1019_NATS))
    assert found.verdict == "a record by the rule" and "better at p < 0.01) is met" in found.sentence


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("who", ["ours", "theirs"])
def test_too_few_seeds_are_not_shown_however_good(count, who):
    few, enough = [1.0 + k / 1000 for k in range(count)], PR1019_NATS
    found = compared(ours(few), theirs(enough)) if who == "ours" else compared(ours(enough), theirs(few))
    assert found.verdict == "not shown" and f"{count} seed" in found.sentence


def test_equal_scores_and_noise_are_not_shown_and_worse_is_worse():
    assert compared(ours([1.8] * 3), theirs([1.9] * 3)).verdict == "not shown"
    assert compared(ours([1.88, 1.89, 1.87]), theirs([1.87, 1.89, 1.88])).verdict == "not shown"
    found = compared(ours(PR1019_NATS), theirs(PR1204_NATS))
    assert found.verdict == "worse" and "is not met" in found.sentence


def test_other_texts_are_not_compared():
    for reference in (theirs(PR1019_NATS), theirs(PR1019_NATS, scored=FINEWEB, published=False)):
        found = compared(ours(PR1204_NATS, scored=SOTU), reference)
        assert found.verdict == "not shown" and "other texts" in found.sentence and not found.table.rows
    ours_as_reference = theirs(PR1019_NATS, scored=SOTU, published=False)
    assert "other texts" in compared(ours(PR1204_NATS, scored=None), ours_as_reference).sentence
    assert compared(ours(PR1204_NATS, scored=None), theirs(PR1019_NATS)).verdict == "better"


def test_two_vocabularies_meet_in_bits_per_byte_and_nats_of_the_reference():
    """The same text in longer tokens: more nats each, and no better for it."""
    longer = ours([loss * 1.5 for loss in PR1204_NATS], per_token=PER_TOKEN * 1.5)
    found = compared(longer, theirs(PR1019_NATS))
    same = compared(ours(PR1204_NATS), theirs(PR1019_NATS))
    assert [row[5:] for row in found.table.rows] == [row[5:] for row in same.table.rows]
    assert "vocabularies differ" in found.table.notes[0] and "reference's vocabulary" in found.sentence


def test_one_number_is_exact_and_said_to_be(tmp_path):
    write_seeds(tmp_path, "x", [1.20, 1.21, 1.22])
    (reference,) = read_reference("1.25")
    found = compared(ours([2.0, 2.01, 2.02]), reference)
    assert any("taken as exact" in note for note in found.table.notes)
    with pytest.raises(RunError, match="neither a path"):
        read_reference("1.25x")
    with pytest.raises(RunError, match="neither a path"):
        read_reference("nan")


def test_runs_are_a_reference_and_those_that_do_not_count_are_not(tmp_path):
    write_seeds(tmp_path, "x", [1.20, 1.21, 1.22])
    (reference,) = read_reference(str(tmp_path / "x"))
    assert reference.bpb.n == 3 and reference.scored.data == "sotu"
    write_run(tmp_path, "y", 1, 1.1, status="over_cap", reason="1 byte over", cfg=config(optimizer__matrix_lr=1.0))
    with pytest.raises(RunError, match="1 byte over"):
        read_reference(str(tmp_path / "y"))


SUBMISSIONS = {
    "seeds by name": ({"val_bpb": 1.115, "seed_results": {"1": {"val_bpb": 1.11}, "2": {"val_bpb": 1.12}}}, (2, 1.115)),
    "seeds as plain scores": ({"seed_results": {"1": 1.11, "2": 1.12, "3": 1.13}}, (3, 1.12)),
    "seeds in a list": ({"mean_val_bpb": 1.12, "seeds": [{"seed": 1, "val_bpb": 1.11}, {"val_bpb": 1.13}]}, (2, 1.12)),
    "mean and deviation": ({"val_bpb_mean": 1.11, "val_bpb_std": 0.001, "seeds": [1, 2, 3]}, (3, 1.11)),
    "nulls": ({"val_bpb": 1.1, "val_loss": None, "val_bpb_std": None, "seeds": [1, 2]}, (1, 1.1)),
}


@pytest.mark.parametrize("case", SUBMISSIONS.values(), ids=SUBMISSIONS)
def test_published_submissions_are_read_in_all_their_shapes(tmp_path, case):
    node, (count, mean) = case
    (tmp_path / "submission.json").write_text(json.dumps({"name": "theirs"} | node))
    for word in (tmp_path, tmp_path / "submission.json"):
        (found,) = read_reference(str(word))
        assert (found.bpb.n, found.bpb.mean) == (count, pytest.approx(mean))
        assert found.exact == (found.bpb.std is None) and found.published


def test_a_selection_and_a_wrong_mean_are_named(tmp_path):
    node = {"val_bpb": 1.0, "seed_results": {"1": {"val_bpb": 1.1}, "2": {"val_bpb": 1.2}}}
    node["seed_results_all_runs_disclosure"] = [1, 2, 3]
    (tmp_path / "submission.json").write_text(json.dumps(node))
    (found,) = read_reference(str(tmp_path))
    assert any("a selection" in note for note in found.notes) and any("not the mean" in note for note in found.notes)


@pytest.mark.parametrize("text", ["[]", "{}", '{"val_bpb": "low"}', "{", '{"val_bpb": true}'])
def test_a_submission_without_a_score_is_refused(tmp_path, text):
    (tmp_path / "submission.json").write_text(text)
    with pytest.raises(RunError, match=r"submission\.json"):
        read_reference(str(tmp_path))
