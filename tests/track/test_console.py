import io
import os
import pty
import re
import shlex
import subprocess
import sys
import threading

import pytest

from pgolf.track.console import Console
from pgolf.track.words import duration, fact, percent


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def piped():
    stream, clock = io.StringIO(), Clock()
    console = Console(stream=stream, clock=clock)
    return console, clock, lambda: stream.getvalue().splitlines()


def test_lines_and_tables_go_to_stream_and_log(tmp_path):
    stream = io.StringIO()
    with Console(stream=stream, log=tmp_path / "console.log") as console:
        console.line("[bold]kept as it is[/bold] :smile: " + "x" * 200)
        console.table("splits", [["train", 10_100_231], ["dev", 936_963]], ["split", "bytes"])
    assert stream.getvalue() == (tmp_path / "console.log").read_text()
    assert stream.getvalue().splitlines() == [
        "[bold]kept as it is[/bold] :smile: " + "x" * 200,
        "splits",
        "  split        bytes",
        "  train   10,100,231",
        "  dev        936,963",
    ]


def test_short_work_prints_nothing_in_a_pipe(piped):
    console, clock, lines = piped
    with console.progress("pack", 10) as progress:
        for done in range(10):
            clock.now += 0.1
            progress.update(done + 1)
    assert lines() == []


def test_plain_progress_comes_at_intervals_and_ends_with_one_line(piped):
    console, clock, lines = piped
    with console.progress("train", 300, "steps") as progress:
        for step in range(1, 301):
            clock.now += 1.0
            progress.update(step, loss=1000 / (step + 200), tokens_per_second=21_400.4)
    assert 28 <= len(lines()) <= 41
    assert lines()[0] == "train          2/300 steps   0 %   4 min 58 s left   loss 4.9505   21,400 tokens/s"
    assert lines()[-1] == "train          300 steps in 5 min 0 s   loss 2.0000   21,400 tokens/s"


def test_tenths_of_quick_work_do_not_flood(piped):
    console, clock, lines = piped
    with console.progress("read", 1000, "lines") as progress:
        for done in range(1000):
            clock.now += 0.008
            progress.update(done + 1)
    assert len(lines()) <= 4
    assert lines()[-1] == "read           1,000 lines in 8.0 s   125 lines/s"


def test_work_that_ends_by_the_clock_tells_its_own_fraction(piped):
    console, clock, lines = piped
    with console.progress("train", unit="steps") as progress:
        clock.now = 30.0
        progress.update(17, fraction=0.1, left_seconds=270.0)
    assert lines()[0].startswith("train          17 steps   10 %   4 min 30 s left")


def test_progress_is_also_the_callback_of_data_and_evaluation(piped):
    console, clock, lines = piped
    with console.progress("data") as progress:
        for label in ("reading", "tokenizing"):
            for done in range(3):
                clock.now += 1.0
                progress(label, done + 1, 3)
    assert lines()[-1] == "tokenizing     3 in 3.0 s"
    assert any(line.startswith("reading        3 in") for line in lines())


def test_work_that_raises_leaves_a_line_saying_so(piped):
    console, clock, lines = piped
    with pytest.raises(KeyboardInterrupt), console.progress("train", 100, "steps") as progress:
        clock.now = 1.0
        progress.update(7)
        raise KeyboardInterrupt
    assert lines() == ["train          stopped after 1.0 s at 7 steps"]


def test_what_is_refused_before_anything_was_done_leaves_no_line():
    stream = io.StringIO()
    with pytest.raises(RuntimeError), Console(stream=stream).progress("decode", unit="tokens"):
        raise RuntimeError
    assert stream.getvalue() == ""


def test_silent_work_still_shows_that_it_is_alive():
    stream = io.StringIO()
    console = Console(stream=stream, interval_seconds=0.6)
    with console.progress("compile"):
        threading.Event().wait(1.8)
    assert re.match(r"compile        \d\.\d s", stream.getvalue())


def test_nothing_coloured_reaches_a_pipe(sample, tmp_path, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    stream = io.StringIO()
    with Console(stream=stream) as console:
        made = sample()
        console.summary(made.result, made.artifact, made.certificate, tmp_path)
    assert "\x1b" not in stream.getvalue()


def test_summary_says_everything_within_100_columns(sample, tmp_path):
    stream, made = io.StringIO(), sample()
    (tmp_path / "result.json").write_text("")
    Console(stream=stream).summary(made.result, made.artifact, made.certificate, None)
    text = stream.getvalue()
    assert max(map(len, text.splitlines())) <= 100
    for word in (
        *("1.2361", "1.2437", "+0.0076", "1.2187", "validation", "sliding 512/128", "254,112", "936,963"),
        *("812,345 of 1,000,000 bytes", "81.2 %", "751,200", "42,912", "bundle", "18,233", "187,655"),
        *("299.9", "300.0", "61.3", "1,812 steps", "(a)", "normalised", "passed", "seed 1337", "finished"),
    ):
        assert word in text, word
    assert "subset" not in text and "over the" not in text and "left" in text
    Console(stream=stream).summary(made.result, made.artifact, made.certificate, tmp_path)
    assert str(tmp_path) in stream.getvalue() and "result.json" in stream.getvalue()


def test_summary_wraps_a_method_of_many_parts_under_its_column(sample):
    stream, made = io.StringIO(), sample()
    made.result["scores"]["final"] |= {"method": "streaming+backoff+bucketed+sgd", "valid": False}
    Console(stream=stream).summary(made.result, made.artifact, made.certificate, None)
    lines = stream.getvalue().splitlines()
    (at,) = [number for number, line in enumerate(lines) if "streaming+backoff+bucketed+sgd" in line]
    assert "512/128, not valid" in lines[at] + " " + lines[at + 1].strip() and max(map(len, lines)) <= 100


def test_summary_shows_what_a_mixer_went_by_over_the_stream(sample):
    made, stream = sample(), io.StringIO()
    curve = [None, 0.1, 0.2, 0.9] + [0.5] * 60
    trace = {"name": "hedge.weight_1", "mean": 0.5, "deviation": 0.25, "least": 0.1, "largest": 0.9, "curve": curve}
    made.result["scores"]["final"]["traces"] = [trace] * 14
    Console(stream=stream).summary(made.result, None, None, None)
    lines = stream.getvalue().splitlines()
    (start,) = [number for number, line in enumerate(lines) if line.startswith("mixing")]
    assert "2 more in result.json" in lines[start]
    name, *numbers, course = lines[start + 2].split()
    assert (name, numbers) == ("hedge.weight_1", ["0.500", "0.250", "0.100", "0.900"]) and len(course) == 32
    assert course[0] == min(course) and course[1] == max(course) and len(set(course[2:])) == 1


def test_what_stays_the_same_but_for_rounding_is_a_level_line_and_what_is_tiny_no_zero(sample):
    made, stream = sample(), io.StringIO()
    curve = [5.708 * (1 + 1e-16 * (i % 3)) for i in range(64)]
    level = {"name": "trie.mb", "mean": 5.708, "deviation": 1.8e-15, "least": 5.708, "largest": 5.708, "curve": curve}
    tiny = {"name": "trie.off", "mean": 2e-8, "deviation": 1e-8, "least": 0.0, "largest": 3e-7, "curve": curve}
    made.result["scores"]["final"]["traces"] = [level, tiny]
    Console(stream=stream).summary(made.result, None, None, None)
    rows = {line.split()[0]: line.split()[1:] for line in stream.getvalue().splitlines() if "trie." in line}
    assert rows["trie.mb"][:4] == ["5.708", "0.000", "5.708", "5.708"] and len(set(rows["trie.mb"][4])) == 1
    assert rows["trie.off"][:4] == ["2e-08", "1e-08", "0.000", "3e-07"]


def test_summary_labels_subset_over_cap_and_failed_probe(sample):
    stream = io.StringIO()
    made = sample(subset=True, over=4312, broken=True, seconds=310.0, status="over_cap", reason="too big")
    Console(stream=stream).summary(made.result, made.artifact, made.certificate, None)
    text = stream.getvalue()
    assert "not a result" in text and "val subset" in text and "dev subset" in text
    assert "over cap" in text and "too big" in text and re.search(r"over +4,312", text)
    assert "over the budget" in text
    assert re.search(r"\(b\) +causal +failed .*input 7 changed output 6", text)


def test_summary_of_a_run_that_never_trained(sample):
    stream = io.StringIO()
    made = sample(status="interrupted", reason="Ctrl-C")
    result = made.result | {"train": None, "artifact": None, "certificate": None, "ledger": {}}
    result["scores"] = dict.fromkeys(["dev", "prequant", "roundtrip", "final"])
    Console(stream=stream).summary(result, None, None, None)
    assert "interrupted" in stream.getvalue() and "Ctrl-C" in stream.getvalue()


def test_parts_of_a_stage_stand_under_it_and_in_no_total(sample):
    def told(result):
        stream = io.StringIO()
        Console(stream=stream).summary(result, None, None, None)
        return re.sub(" +", " ", stream.getvalue())

    made = sample()
    ledger = made.result["ledger"]
    parts = {"evaluate": ledger["evaluate"], "evaluate/network": 88.8, "evaluate/tree": 7.7}
    text = told(made.result | {"ledger": ledger | parts})
    assert re.search(r"\n network 88\.8", text) and re.search(r"\n tree 7\.7", text)
    total = re.search(r"\n *total .*", told(made.result)).group()
    assert f"{sum(ledger.values()):.1f}" in total and total in text


def test_narrow_encodings_and_closed_streams_end_nothing(sample):
    made = sample()
    raw = io.BytesIO()
    narrow = io.TextIOWrapper(raw, encoding="ascii")
    Console(stream=narrow).summary(made.result, made.artifact, None, None)
    assert b"=====" in raw.getvalue()
    stream = io.StringIO()
    console = Console(stream=stream)
    stream.close()
    console.line("nobody reads this")


def test_reader_that_leaves_does_not_end_the_run():
    script = (
        "from pgolf.track.console import Console; import sys\n"
        "console = Console()\n"
        "for i in range(20000): console.line(str(i))\n"
        "print('unread'); sys.stderr.write('reached the end')\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    worker.stdout.readline()
    worker.stdout.close()
    assert worker.stderr.read() == b"reached the end" and worker.wait() == 0


def test_log_that_cannot_be_written_is_one_line(tmp_path):
    stream = io.StringIO()
    console = Console(stream=stream, log=tmp_path)
    console.line("goes on")
    assert stream.getvalue().count("cannot be written") == 1 and "goes on" in stream.getvalue()


def test_terminal_gets_a_live_bar_that_leaves_one_line(tmp_path):
    script = (
        "import time; from pathlib import Path; from pgolf.track.console import Console\n"
        f"console = Console(log=Path({str(tmp_path / 'log')!r}))\n"
        "with console.progress('train', 25, 'steps') as p:\n"
        "    for i in range(25):\n"
        "        time.sleep(0.09); p.update(i + 1, loss=3.0)\n"
        "        if i == 12:\n"
        "            with console.progress('validate', 2): console.line('half way')\n"
    )
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "90"}
    worker = subprocess.Popen([sys.executable, "-c", script], stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    seen = b""
    while True:
        try:
            seen += os.read(ours, 65536)
        except OSError:
            break
    os.close(ours)
    assert worker.wait() == 0
    text = seen.decode()
    assert "━" in text and "\x1b[36m" in text and "/25 steps" in text and text.count("\x1b[?25h") == 1
    last = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text.rpartition("\x1b[?25h")[2]).strip()
    assert re.fullmatch(r"train +25 steps in 2\.\d s +loss 3\.0000 +[\d.]+ steps/s", last)
    log = (tmp_path / "log").read_text()
    assert "\x1b" not in log and "half way" in log and "25 steps in" in log


def test_words():
    assert [duration(s) for s in (0.04, 9.9, 61.4, 301.6, 3790)] == [
        "0.0 s",
        "9.9 s",
        "61 s",
        "5 min 2 s",
        "1 h 3 min",
    ]
    assert fact("tokens_per_second", 21400.4) == "21,400 tokens/s"
    assert [fact("loss", 3.21456), fact("lr", 2e-5), fact("step", 1200)] == [
        "loss 3.2146",
        "lr 2e-05",
        "step 1,200",
    ]
    assert [percent(x) for x in (0, 0.999, 1.7)] == ["0 %", "99 %", "100 %"]


def test_scoring_again_takes_the_words_about_the_text(sample, tmp_path):
    made = sample()
    made.artifact.path.write_bytes(b"")
    text = "data=text 'data.paths=[a b.txt]' +budget.eval_seconds=2"
    command = f"python train.py arch=pr187 {text} seed=3 size=tiny certify=full"

    def printed(command):
        stream = io.StringIO()
        result = made.result | {"run": made.result["run"] | {"command": command}}
        Console(stream=stream).summary(result, made.artifact, made.certificate, tmp_path)
        again = stream.getvalue().partition("score it again: ")[2].replace("\\\n", "").splitlines()[0]
        return shlex.split(again)

    start = ["python", "eval.py", f"artifact={made.artifact.path}"]
    assert printed("python train.py arch=pr187") == start
    assert printed(command) == [
        *start,
        "data=text",
        "data.paths=[a b.txt]",
        "+budget.eval_seconds=2",
        "size=tiny",
        "certify=full",
    ]
