"""Sessions: one round after another, the first not counted; what cannot run is named; all benchmarks have a part."""

import pytest
import torch

import pgolf.bench
from pgolf.bench import rounds
from pgolf.bench.figures import PEAKS, Reading
from pgolf.cli.bench import _LEAVES
from pgolf.core.errors import ConfigError, DataError
from pgolf.core.registry import modules_of

BENCHES = {module.__name__.rpartition(".")[2]: module for module in modules_of(pgolf.bench, _LEAVES)}
TINY = rounds.Setting((1,), tiny=True)


class Counting:
    """Rounds that are numbered; ``fails``: in which."""

    def __init__(self, fails=None):
        self.size, self.count, self.closed, self.fails = {"n": 1}, 0, False, fails

    def session(self, setting):
        return self

    def round(self):
        self.count += 1
        if self.count == self.fails:
            raise DataError("two\nlines")
        return [Reading("a", self.count, "ms")]

    def close(self):
        self.closed = True


def test_the_first_round_does_not_count():
    bench = Counting()
    found = rounds.measured(bench, TINY, 3)
    assert found.figures[0].values == (2, 3, 4) and found.size == {"n": 1} and bench.closed


def test_what_cannot_run_is_named_with_its_reason():
    class Absent:
        def session(self, setting):
            raise ImportError("No module named 'zpaq'")

    assert rounds.measured(Absent(), TINY, 3).reason == "No module named 'zpaq'"
    bench = Counting(fails=2)
    found = rounds.measured(bench, TINY, 3)
    assert (found.reason, found.figures, bench.closed) == ("two; lines", (), True)
    reason = rounds.measured(BENCHES["artifact"], TINY, 1).reason
    assert reason == "no artifact: --artifact RUN|ARTIFACT names one"


def test_another_size_is_refused_before_a_round():
    bench = Counting()
    old = rounds.replace(SHEET, benches={"x": rounds.BenchResult({"n": 2}, ())})
    with pytest.raises(ConfigError, match="old: x: n: 2 there, 1 here"):
        rounds.measure_all(SHEET, TINY, {"x": bench}, old, "old")
    assert bench.count == 0 and bench.closed


def test_threads_are_as_they_were_and_the_clock_goes_with_them():
    before = torch.get_num_threads()
    with rounds.on_threads(1) as now:
        assert torch.get_num_threads() == 1 and now.__name__ == "process_time"
    with rounds.on_threads(2) as now:
        assert now.__name__ == "perf_counter"
    assert torch.get_num_threads() == before


def test_parts_are_told_largest_first():
    assert rounds.shares({"a": 1, "b": 3, "c": 0, "d": 4}) == "d 50 %, b 38 %, a 12 %"
    assert rounds.shares({"a": 0.0}) == ""


def test_every_benchmark_has_a_part_but_those_that_grow():
    assert {name for name, module in BENCHES.items() if not hasattr(module, "session")} == {"scale"}


def plausible(found):
    assert not found.reason and found.figures
    for figure in found.figures:
        assert all(value > 0 for value in figure.values), figure
        assert not figure.floors or (figure.of and all(floor > 0 for floor in figure.floors)), figure
    assert len({figure.name for figure in found.figures}) == len(found.figures)


@pytest.mark.parametrize("name", ["gptq", "data", "attention", "runs", "loader"])
def test_a_cheap_benchmark_finds_its_figures(name):
    plausible(rounds.measured(BENCHES[name], TINY, 1))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["train", "step", "eval", "ngram", "codec", "peaks", "waiting"])
def test_a_dear_benchmark_finds_its_figures(name):
    found = rounds.measured(BENCHES[name], TINY, 1)
    plausible(found)
    for figure in found.figures:
        if figure.of == "ideal code length":
            assert -1 < figure.value - figure.floors[0] <= 8, figure  # whole words of four bytes
        elif figure.of in PEAKS:
            assert figure.share > 0


SHEET = rounds.Sheet({"processor": "one", "cores": 2}, {}, (1,), 1, {})
