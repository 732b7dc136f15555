"""Slopes are those of their points, and every part has a cost at each size."""

import numpy as np
import pytest

from pgolf.bench import scale as bench
from pgolf.cli.main import main


@pytest.mark.parametrize("exponent", [0.5, 1, 2])
def test_the_exponent_is_that_of_a_power_law(exponent):
    slope = bench.CostSlope("x", "run", "seconds", tuple((n, 3.0 * n**exponent) for n in (1, 10, 100)))
    assert slope.exponent == pytest.approx(exponent)
    if exponent == 1:
        assert slope.each == pytest.approx(3)


def test_a_start_that_all_share_is_in_no_slope():
    assert bench.CostSlope("x", "run", "s", ((1, 102.0), (11, 122.0))).each == 2
    assert bench.CostSlope("x", "run", "s", ((1, 0.0), (2, 5.0))).exponent is None


def test_a_longer_text_begins_with_the_shorter_and_has_its_commonest_tokens():
    token_T = bench.phrases(200_000, 300)
    assert np.array_equal(token_T[:70_000], bench.phrases(70_000, 300)) and len(token_T) == 200_000
    assert token_T.min() >= 2 and token_T.max() < 300
    count_V = np.bincount(token_T, minlength=300)
    assert count_V[2] > count_V[10] > count_V[200] > 0


def test_the_shapes_are_from_a_third_of_a_million_to_thirty():
    import torch

    from pgolf.config.compose import checked
    from pgolf.core.make import make

    for (layers, width), least, most in zip(
        (bench.MODELS[0], bench.MODELS[-1]), (2e5, 2.5e7), (5e5, 3.5e7), strict=True
    ):
        cfg = checked(bench.model_words(layers, width))
        with torch.device("meta"):
            model = make(cfg["arch"], vocab_size=1024, bos_id=1)
        assert least < sum(p.numel() for p in model.parameters()) < most


def test_a_model_has_every_cost():
    row = bench.model_row(1, 32, 1)
    assert row["params"] > 0 and row["seconds_a_token"] > 0 and row["peak_bytes"] > row["state_bytes"]
    assert row["state_bytes"] >= 8 * row["params"] and row["artifact_bytes"] < row["params"]


def test_reports_are_asked_at_each_size(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(bench, "REPORTS", (3, 6))
    assert main(["bench", "scale", "--only", "reports", "--json", str(tmp_path / "a.json")]) == 0
    shown = capsys.readouterr().out
    assert "report, seconds" in shown and "history, seconds" in shown and "a run" in shown
    assert (tmp_path / "a.json").read_text().count('"exponent"') == 2


@pytest.mark.slow
def test_counts_and_sweeps_grow():
    memory, filled, seconds = bench.counts((2_000, 20_000), vocab_size=300)
    assert all(used < room for (_, used), (_, room) in zip(filled.points, memory.points, strict=True))
    assert [x for x, _ in memory.points] == [2_000, 20_000] and memory.each > 0 and seconds.points[1][1] > 0
    (overhead,) = bench.sweeps((1, 2))
    assert overhead.points[0][1] > 0
