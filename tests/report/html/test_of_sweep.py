"""The page of a sweep: question and answer, arms with error bars, what is missing, others' numbers, curves."""

from pathlib import Path

import pytest

from pgolf.cli.main import main
from pgolf.config.sweep_file import PublishedValue, SweepFile
from pgolf.report.html.document import page_text
from pgolf.report.page import report
from pgolf.report.sweep import Arm, Paired, Point, SweepReport, Unseen
from tests.report.html.telling import Markup, fetched, report_of, write_full
from tests.report.making import config

HOSTILE = "<script>alert(1)</script>\x1b"
HEADS = {"Question": f"does it pay? {HOSTILE}", "Command": "python train.py", "Cost": "", "Answer": "not run yet."}


def sweep_of(*arms, base=0, unseen=(), published=()):
    file = SweepFile(Path("sweeps/x.yaml"), HEADS, "train", "dev", (), None, tuple(published), ())
    return SweepReport(file, arms, base, tuple(unseen), 12)


def arm(words, scores, paired=None, shown="", **more):
    points = tuple(Point(seed, bpb, **more) for seed, bpb in enumerate(scores, 1))
    return Arm(words, points, paired and Paired(dict(enumerate(paired, 1)), sum(paired) / len(paired), (-0.03, -0.01)),
               None, shown)  # fmt: skip


def told(sweep, runs=None):
    page = page_text(runs or report([], [], [], {}), "dev", sweep)
    markup = Markup(page)
    assert not markup.open and not markup.wrong and "script" not in markup.tags and "\x1b" not in page
    assert all(one.startswith(("a href=#s", "link href=data:,")) for one in fetched(markup))
    return markup


def test_a_sweep_says_its_question_its_arms_and_what_is_missing():
    base = arm("mlp=relu2", [1.30, 1.31, 1.32])
    better = arm("mlp=swiglu", [1.28, 1.29, 1.30], [-0.02, -0.02, -0.02], "better")
    few = Arm("mlp=none", (), shown="not shown: no score")
    missing = Unseen("mlp=none", 3, "failed", f"no room {HOSTILE}")
    text = told(
        sweep_of(base, better, few, unseen=[missing], published=[PublishedValue("theirs", 1.4659, "bpb", "#1026")])
    ).text
    for part in ("does it pay?", "not run yet.", "(base) mlp=relu2", "1.29000 ± 0.01000, n=3", "-0.0200, better",
                 "not shown: no score", "failed", "no room", "1.4659", "#1026", "jobs without a score"):  # fmt: skip
        assert part in text, part


def test_arms_that_differ_in_a_number_are_a_curve_and_claims_a_dashed_one():
    arms = [arm(f"ngram=hashed order={k}", [1.5, 1.52], claimed=1.1 - k / 100, sum_p_mean=3.0) for k in (2, 3, 4)]
    arms += [arm(f"ngram=strict order={k}", [1.2 - k / 100, 1.21 - k / 100]) for k in (2, 3, 4)]
    markup = told(sweep_of(*arms, base=None))
    assert "bits per byte over order" in markup.text and "ngram=hashed, claimed" in markup.text
    lines = [value for tag, name, value in markup.attributes if tag == "polyline" and name == "class"]
    assert sum("again" in value for value in lines) == 1 and len(lines) == 3
    assert [value for tag, name, value in markup.attributes if (tag, name) == ("line", "class") and "bars" in value]


@pytest.mark.parametrize("arms", [[], [Arm("a", ())], [arm("a", [1.2])], [arm("", [1.2, 1.2]), Arm("b=1", ())]])
def test_a_sweep_that_has_hardly_begun_is_a_page(arms):
    assert "jobs in the grid" in told(sweep_of(*arms, base=0 if arms and arms[0].points else None)).text


def test_the_runs_of_a_sweep_have_their_curves_and_seconds_on_its_page(tmp_path):
    write_full(tmp_path, seed=1)
    write_full(tmp_path, seed=2, bpb=1.3)
    text = told(sweep_of(arm("a", [1.2, 1.3])), report_of(tmp_path)).text
    for part in ("training loss over steps", "Seconds and bytes", "Certificates", "does it pay?"):
        assert part in text


def test_one_page_is_about_one_sweep(tmp_path, capsys):
    assert main(["report", "a.yaml", "b.yaml", "--html", str(tmp_path / "x.html")]) == 2
    assert "one page is about one sweep" in capsys.readouterr().err


def test_the_page_of_a_sweep_whose_base_has_not_run_is_written(tmp_path, capsys):
    out = tmp_path / "x.html"
    (tmp_path / "runs").mkdir()
    sweep = Path(__file__).parents[3] / "sweeps" / "recurrence_position.yaml"
    assert main(["report", str(sweep), str(tmp_path / "runs"), "--html", str(out)]) == 0
    text = Markup(out.read_text()).text
    assert "which two neighbouring layers should be visited twice?" in text and "1.1196" in text
    assert f"{out.stat().st_size:,} bytes" in capsys.readouterr().err


def test_the_runs_of_a_sweep_are_called_by_their_arms(tmp_path):
    write_full(tmp_path, "x")
    write_full(tmp_path, "y", cfg=config(optimizer__matrix_lr=0.03), seed=2)
    arms = [arm(f"optimizer.matrix_lr={rate}", [1.2, 1.3]) for rate in (0.02, 0.03)]
    text = told(sweep_of(*arms), report_of(tmp_path)).text
    assert "(base) optimizer.matrix_lr=0.02, seed 1" in text and "optimizer.matrix_lr=0.03, seed 2" in text
