"""One line for each figure, with floor and ratio; what is missing is named; what moved stands first."""

from dataclasses import replace

import pytest

from pgolf.bench.figures import BenchResult, Sheet
from pgolf.bench.table import comparison, lines, shown
from tests.bench.test_figures import SHEET, figure

RATES = figure([50, 40, 60, 50, 50], [100, 100, 100, 200, 100], of="copying", name="read")
SIZES = figure([1200] * 5, [1000] * 5, better="less", of="entropy", exact=True, name="bytes")


def sheet(*figures, **benches) -> Sheet:
    return replace(SHEET, benches={"codec": BenchResult({}, figures), **benches})


def test_a_figure_stands_beside_its_floor_and_an_absent_one_is_named():
    shown = lines(sheet(RATES, SIZES, artifact=BenchResult({}, (), "no artifact: --artifact names one")))
    assert shown[0].startswith("one; medians of 5 rounds")
    assert shown[2].split() == ["codec:", "read", "50", "tokens/s", "20", "%", "100", "0.500", "copying"]
    assert shown[3].split() == ["codec:", "bytes", "1,200", "tokens/s", "exact", "1,000", "1.200", "entropy"]
    assert shown[4].strip() == "artifact: not measured: no artifact: --artifact names one"


@pytest.mark.parametrize(
    ("value", "text"), [(12345.6, "12,346"), (0.00012345, "0.0001234"), (999.94, "999.9"), (0, "0"), (-2000, "-2,000")]
)
def test_numbers_have_four_digits_or_a_whole_part(value, text):
    assert shown(value) == text


def test_what_moved_stands_first_and_the_rest_is_said_to_be_noise():
    slower = replace(RATES, values=(10.0, 11.0, 12.0, 13.0, 10.0))
    new = sheet(SIZES, slower, replace(RATES, name="more"), other=BenchResult({}, (), "absent"))
    found = comparison(sheet(SIZES, RATES, replace(RATES, name="less"), other=BenchResult({}, ())), new, "old.json")
    assert found[0] == "since old.json: new ÷ old of medians"
    assert "codec: read" in found[2] and found[2].endswith("share of copying   worse")
    assert "codec: bytes" in found[3] and found[3].endswith("the same")
    text = "\n".join(found)
    assert "1 of 2 figures moved beyond noise" in text and "93.8 %" in text
    assert "codec: more: only here" in text and "codec: less: only in old.json" in text
    assert "other: not compared: absent" in text


def test_absolute_times_are_said_to_be_such_and_other_versions_are_told():
    old = sheet(replace(RATES, of="", floors=()))
    found = "\n".join(comparison(old, replace(old, about={"torch": "3"}), "old"))
    assert "absolute: no floor of the machine" in found and "torch: 2 there, 3 here" in found
    assert "no figure is in both" in "\n".join(comparison(sheet(), sheet(), "old"))
