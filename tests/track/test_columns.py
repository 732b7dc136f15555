"""A row of a table of runs says what the result says, and nothing that it does not."""

from pgolf.track.columns import columns_of
from pgolf.track.result import build_result, read_result, write_result
from tests.track.test_result import NOBODY


def test_every_column_is_that_of_the_result(tmp_path, sample):
    write_result(tmp_path, sample().result)
    result = read_result(tmp_path)
    result["certificate"]["probes"].append(
        {"letter": "b", "name": "prefix-only audit", "passed": True}
        | {"measured": {"uniform": 100, "looked_at": 299, "bound": 0.03}}
    )
    found = columns_of(result)
    assert (found["score/bpb"], found["score/counted_bpb"], found["score/claimed_bpb"]) == (1.2187,) * 3
    assert (found["score/prequant_bpb"], found["score/roundtrip_bpb"]) == (1.2361, 1.2437)
    assert abs(found["quantization/damage_bpb"] - 0.0076) < 1e-9
    assert found["bytes/total"] == 812_345 and found["bytes/left"] == 187_655 and found["bytes/code"] == 42_912
    assert (found["certificate/passed"], found["certificate/n"], found["certificate/bound"]) == (True, 100, 0.03)
    assert found["train/steps"] == 1812 and found["seconds/evaluate"] == 61.3 and found["model/params"] == 1_600_000
    assert all(isinstance(value, bool | int | float | str) for value in found.values())
    assert "certificate/failed" not in found and "reason" not in found


def test_a_score_that_no_report_would_count_is_in_no_column_of_those(sample):
    for changes in ({"subset": True}, {"status": "over_cap", "over": 5}, {"status": "certificate_failed"}):
        found = columns_of(sample(**changes).result)
        assert "score/counted_bpb" not in found and "score/bpb" in found, changes
    assert columns_of(sample(broken=True).result)["certificate/failed"] == "(b) causal"


def test_a_run_that_broke_off_has_the_columns_it_reached_and_no_result_has_none():
    result = build_result(status="failed", reason="why", run=NOBODY, budget={}, ledger={"quantize and pack": 1.0})
    assert columns_of(result) == {"status": "failed", "reason": "why", "seconds/quantize_and_pack": 1.0, "anomalies": 0}
    assert columns_of({}) == {}
