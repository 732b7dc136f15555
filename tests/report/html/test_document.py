"""One page for a browser: it says what the text says, needs nothing, and carries no name that is more than text."""

import json
import re

import pytest

from pgolf.cli.main import main
from pgolf.report.experiments import experiments
from pgolf.report.html.document import page_text
from pgolf.report.imports import imported
from pgolf.report.page import report
from tests.report.html.telling import Markup, fetched, page_of, plain, report_of, trace, write_full, write_metrics
from tests.report.making import config, write_run, write_seeds

HOSTILE = "<script>alert(1)</script>\"' onload=x &amp; \x1b[31m\u202e]]>"


@pytest.fixture
def three(tmp_path):
    write_seeds(tmp_path, "base", [1.20, 1.21, 1.22])
    write_seeds(tmp_path, "rate", [1.17, 1.18, 1.19], cfg=config(optimizer__matrix_lr=0.03), bytes_total=880_000)
    for seed in (1, 2, 3):
        write_full(tmp_path, "gain", seed, 1.25 + seed / 100, cfg=config(arch__qk_gain=2.0))
    return tmp_path


def test_a_page_says_all_that_the_text_says(three):
    write_run(three, "base", 4, 0.5, status="certificate_failed", reason="(a)", sum_p_mean=23.1, sum_p_max=405.0,
              renormalised_bpb=1.9, passed=False)  # fmt: skip
    told = report_of(three, base="base")
    text = Markup(page_text(told)).text
    for table in told.page().tables:
        for cell in (*table.notes, *(cell for row in table.rows for cell in row)):
            assert " ".join(cell.split()) in text, cell
    for part in ("405.00", "1.900000", "-0.0300, better", "optimizer.matrix_lr=0.03", "880,000", "1.25 %", "321"):
        assert part in text


def test_the_page_of_one_run_shows_what_its_folder_holds(tmp_path):
    markup = Markup(page_of(write_full(tmp_path)))
    for part in ("1.2000", "900,000", "tree.weight_network", "grad norm", "weight rms", "skip", "Certificate", "900",
                 "1.25 %", "321", "landlock 7", "python train.py seed=1", "calibrate", "training loss over steps",
                 "deviation 0.125", "a machine"):  # fmt: skip
        assert part in markup.text, part
    assert markup.tags >= {"svg", "polyline"}


@pytest.mark.parametrize("several", [False, True])
def test_a_page_is_whole_markup_and_asks_for_nothing(tmp_path, several):
    write_full(tmp_path)
    if several:
        write_full(tmp_path, seed=2, bpb=1.3)
        write_seeds(tmp_path, "y", [1.1, 1.2], cfg=config(optimizer__matrix_lr=0.1), sum_p_max=2.0)
    page = page_of(tmp_path)
    markup = Markup(page)
    assert not markup.open and not markup.wrong
    assert "script" not in markup.tags
    assert all(re.fullmatch(r"a href=#s\d+|link href=data:,", one) for one in fetched(markup))
    assert not re.search(r"url\(|@import|https?://", page)
    assert "default-src 'none'" in page


def test_the_same_runs_make_the_same_bytes(three):
    assert page_of(three) == page_of(three)


def test_names_of_every_origin_are_text_and_nothing_else(tmp_path):
    folder = write_full(tmp_path, cfg=config(notes=HOSTILE, optimizer__matrix_lr=HOSTILE))
    result = json.loads((folder / "result.json").read_text())
    result["run"] |= {"name": HOSTILE, "command": HOSTILE}
    result["ledger"][HOSTILE] = 1.0
    result["scores"]["final"] |= {"method": HOSTILE, "traces": [plain(trace(HOSTILE))]}
    result["certificate"] |= {"isolation": HOSTILE}
    result["certificate"]["probes"][0] |= {"name": HOSTILE, "message": HOSTILE}
    (folder / "result.json").write_text(json.dumps(result))
    write_metrics(folder, **{HOSTILE: 1.0, f"learned/{HOSTILE}/{HOSTILE}": 1.0, f"grad_norm/{HOSTILE}": 1.0})
    others = tmp_path / "set" / HOSTILE.replace("/", "-")
    write_run(others, "y", 2, 1.3, cfg=config(hypothesis=HOSTILE))
    (others / "seed=3").mkdir()
    (others / "seed=\udcff").mkdir()
    for paths in ([folder], [folder, tmp_path / "set"], [others / "seed=3"]):
        page = page_of(*paths)
        markup = Markup(page)
        assert not markup.open and not markup.wrong and "script" not in markup.tags
        assert not [name for _, name, _ in markup.attributes if name.startswith("on")]
        assert "<script>alert(1)" in markup.text and "\\x1b[31m\\u202e" in markup.text
        assert "\x1b" not in page and "\u202e" not in page
        page.encode()


def test_unfinished_and_broken_runs_are_named_on_both_kinds_of_page(tmp_path):
    write_seeds(tmp_path, "x", [1.2, 1.3])
    half, broken, empty, bare = (tmp_path / "x" / f"seed={n}" for n in (7, 8, 9, 10))
    for folder in (half, broken, empty, bare):
        folder.mkdir()
    write_metrics(half)
    with open(half / "metrics.jsonl", "a") as file:
        file.write('{"step": 41, "train_l')
    (broken / "result.json").write_text('{"schema_version": 1, "sta')
    (bare / "result.json").write_text('{"schema_version": 1, "status": "finished"}')
    whole = Markup(page_of(tmp_path)).text
    for name in ("seed=7", "seed=8", "seed=9", "seed=10"):
        assert name in whole
    told = Markup(page_of(half)).text
    assert "still running, or ended before it could write one" in told
    assert "the last line of metrics.jsonl is half a line" in told and "training loss over steps" in told
    assert "not a readable result" in Markup(page_of(broken)).text
    assert "empty: the run has not begun" in Markup(page_of(empty)).text
    assert "half a result" in Markup(page_of(bare)).text


def test_a_run_that_does_not_count_says_why_at_its_head(tmp_path):
    folder = write_run(tmp_path, "x", 1, 1.2, status="over_cap", reason="4,312 bytes too many", bytes_total=1_004_312)
    assert "Not counted: over cap: 4,312 bytes too many" in Markup(page_of(folder)).text


def places(node, at=()):
    for key, value in node.items():
        yield (*at, key)
        if isinstance(value, dict):
            yield from places(value, (*at, key))


ODD = (None, "x", -1, [], True, 10**400, 1e308, {}, [[]], [{}])


def test_no_value_of_a_result_ends_a_page(tmp_path):
    """Whatever stands in its place, there is a page, and it is whole; one odd value each, in turn."""
    folder = write_full(tmp_path)
    write_full(tmp_path, seed=2)
    text = (folder / "result.json").read_text()
    found = [*places(json.loads(text)), *(("certificate", "probes", 1, key) for key in ("letter", "measured"))]
    found += [("scores", "final", "traces", 0, key) for key in plain(trace("x"))]
    for number, place in enumerate(found):
        result = json.loads(text)
        node = result
        for key in place[:-1]:
            node = node[key]
        node[place[-1]] = ODD[number % len(ODD)]
        (folder / "result.json").write_text(json.dumps(result))
        for paths in ([folder], [tmp_path]) if number % 3 == 0 else ([folder],):
            markup = Markup(page_of(*paths))
            assert not markup.open and not markup.wrong, place


@pytest.mark.parametrize("line", ["[1]", "nonsense", '{"step": 1e999, "train_loss": NaN, "train_seconds": 1}', "\x00",
                                  '{"step": 1, "train_loss": 1e308, "train_seconds": 5e-324}', '{"step": true}',
                                  '{"step": 1, "train_seconds": 1, "train_loss": "x", "": 3}'])  # fmt: skip
def test_no_line_of_the_metrics_ends_a_page(tmp_path, line):
    folder = write_full(tmp_path)
    lines = (folder / "metrics.jsonl").read_text()
    for text in (line, f"{line}\n{line}\n", f"{line}\n{lines}{line}"):
        (folder / "metrics.jsonl").write_text(text)
        for paths in ([folder], [tmp_path]):
            assert "</html>" in page_of(*paths)


def test_a_hundred_long_runs_are_a_small_page(tmp_path):
    for seed in range(100):
        folder = write_run(tmp_path, "x", seed, 1.2 + seed / 1000)
        if seed % 10 == 0:
            write_metrics(folder, 400)
    assert len(page_of(tmp_path).encode()) < 600_000


def test_published_logs_alone_are_a_page(tmp_path):
    log = tmp_path / "train.log"
    log.write_text(
        "seed:42\nstep:6248/20000 val_loss:1.8982 val_bpb:1.1242 train_time:600028ms step_avg:96.04ms\n"
        "final_int6_sliding_window_exact val_loss:1.86650000 val_bpb:1.10774252 stride:64\n"
    )
    others = imported([log])
    text = Markup(page_text(report([], experiments(others.logs), others.problems, {}, rows=others.rows))).text
    assert "1.107743" in text and "claimed" in text


def test_a_published_claim_counts_for_none_of_our_runs_and_stands_on_no_axis_with_them(tmp_path, capsys):
    write_seeds(tmp_path, "x", [1.20, 1.21])
    log, out = tmp_path / "train.log", tmp_path / "page.html"
    log.write_text("seed:42\nfinal_int6_sliding_window_exact val_loss:1.86650000 val_bpb:1.10774252 stride:64\n")
    assert main(["report", str(tmp_path / "x"), "--import-log", str(log), "--html", str(out)]) == 0
    text = " ".join(Markup(out.read_text()).text.split())
    assert "runs that count 2 of 2" in text and "published claims 1" in text
    assert "1.10774, n=1" not in text and "1.20500" in text


def test_the_command_writes_the_page_beside_the_text(tmp_path, capsys):
    write_seeds(tmp_path, "x", [1.20, 1.21, 1.22])
    out = tmp_path / "page.html"
    assert main(["report", str(tmp_path), "--against", "1.3", "--html", str(out)]) == 0
    told = capsys.readouterr()
    assert "verdict: a record by the rule" in told.out and f"{out}: {out.stat().st_size:,} bytes" in told.err
    assert "a record by the rule" in out.read_text()


@pytest.mark.parametrize(("name", "message"), [("page.txt", "ends in .html"), ("no/where.html", "cannot write"),
                                               ("folder.html", "a folder is there")])  # fmt: skip
def test_a_place_for_no_page_is_refused_by_name(tmp_path, capsys, name, message):
    write_seeds(tmp_path, "x", [1.20])
    (tmp_path / "folder.html").mkdir()
    assert main(["report", str(tmp_path / "x"), "--html", str(tmp_path / name)]) == 2
    assert message in capsys.readouterr().err


def test_parts_of_evaluation_have_bars_and_are_in_no_sum(tmp_path):
    """Of a run and, beside another, of a set."""
    before, after = write_full(tmp_path / "before"), write_full(tmp_path / "after")
    path = after / "result.json"
    result = json.loads(path.read_text())
    result["ledger"] |= {"evaluate/network": 9000.0, "evaluate/backoff": 3.5}
    path.write_text(json.dumps(result))
    one, other = page_of(before), page_of(after)
    total = re.search(r"[\d,.]+ s in all, [^<]*", one).group()
    assert total in other and "evaluate/network" in other and "9,000.0 s" in other and "is a part of its stage" in other
    assert "is a part of its stage" not in one
    assert "9,0" not in page_of(before, write_run(tmp_path / "third", "z", 3, 1.25), after)
