"""The numbers of a certificate: what was looked at, bounded and decoded."""

import json

import pytest

from pgolf.core.errors import RunError
from pgolf.report.evidence import evidence_of
from tests.report.html.telling import write_full
from tests.report.making import write_run


def test_the_numbers_are_those_of_the_probes(tmp_path):
    folder = write_full(tmp_path)
    found = evidence_of(folder, json.loads((folder / "result.json").read_text()))
    assert (found.looked_at, found.bound, found.decoded, found.passed) == (
        900,
        0.0125,
        321,
        True,
    ) and found.drawn == 300
    assert [probe.letter for probe in found.probes] == ["a", "b", "f"] and not found.failed


def test_a_run_without_a_certificate_has_none_and_half_a_one_is_refused(tmp_path):
    folder = write_run(tmp_path, "x", 1, None)
    result = json.loads((folder / "result.json").read_text())
    assert evidence_of(folder, result) is None
    for certificate in ({"passed": True}, {"passed": True, "probes": [1]}, {"passed": True, "probes": [{}]}):
        with pytest.raises(RunError, match="half a result"):
            evidence_of(folder, result | {"certificate": certificate})


@pytest.mark.parametrize("odd", [None, -1, True, "900", 1e308, [1]])
def test_what_is_no_number_of_positions_is_not_told_as_one(tmp_path, odd):
    folder = write_full(tmp_path)
    result = json.loads((folder / "result.json").read_text())
    result["certificate"]["probes"][1]["measured"] = {"looked_at": odd, "bound": odd, "uniform": odd}
    found = evidence_of(folder, result)
    assert found.looked_at is None and found.drawn is None and found.bound is None
