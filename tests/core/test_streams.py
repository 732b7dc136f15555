"""Output that is closed, unread or on a full disk ends no command; checked on whole commands, as a shell starts
them."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from pgolf.cli.main import main
from pgolf.config.compose import read_config
from pgolf.core.streams import harmless_streams
from pgolf.track.experiments import read_rows

ROOT = Path(__file__).resolve().parents[2]
ENDINGS = [
    ">&-",
    "2>&-",
    ">&- 2>&-",
    "<&- >&- 2>&-",
    "| true",
    "2>&1 | true",
    "2>&1 | head -n 1",
    ">/dev/full",
]

CLOSED, UNREAD = ">&- 2>&-", "2>&1 | true"
# Commands, and with which endings they are always tried: what imports torch takes seconds to start.
COMMANDS = {
    "-m pgolf --help": ENDINGS,
    "eval.py --help": ENDINGS,
    "-m pgolf data inspect {}": [CLOSED, UNREAD],
    "train.py --help": [CLOSED],
    "eval.py artifact=none": [UNREAD],
}


def shell(command, redirection, cwd=ROOT):
    """(status of the command itself, what came out)."""
    script = f"{command} {redirection}; exit ${{PIPESTATUS[0]}}"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-c", script],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
    )
    return done.returncode, done.stdout + done.stderr


def python(code, redirection):
    return shell(f"{sys.executable} -c '{code}'", redirection)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    words = f"data prepare tiny --tokenizer bytes --cache-dir {cache} --set data.document_count=10"
    assert main(words.split()) == 0
    (directory,) = (cache / "datasets").iterdir()
    return directory


@pytest.mark.parametrize("redirection", ENDINGS)
def test_a_process_goes_on_and_ends_well(tmp_path, redirection):
    code = (
        "import subprocess, sys; from pgolf.core.streams import harmless_streams; harmless_streams()\n"
        "for n in range(20_000): print(n); print(n, file=sys.stderr)\n"
        'subprocess.run([sys.executable, "-c", "print(1)"], check=True)\n'
        f'open("{tmp_path / "record"}", "w").write(sys.stdin.read() or "written")'
    )
    status, said = python(code, redirection)
    assert status == 0 and "Traceback" not in said and "Error" not in said
    assert (tmp_path / "record").read_text() == "written"


def test_a_file_opened_later_never_gets_the_number_of_a_closed_stream(tmp_path):
    code = (
        "from pgolf.core.streams import harmless_streams; harmless_streams()\n"
        "import os, subprocess, sys\n"
        f'record = open("{tmp_path / "record"}", "w"); assert record.fileno() > 2\n'
        'print("for nobody"); os.system("echo for nobody either"); record.write("clean")'
    )
    assert python(code, ">&- 2>&-")[0] == 0
    assert (tmp_path / "record").read_text() == "clean"


def test_a_full_disk_is_said_once():
    code = "from pgolf.core.streams import harmless_streams; harmless_streams()\nfor n in range(9999): print(n)"
    status, said = python(code, ">/dev/full")
    assert (status, said) == (0, "pgolf: standard output is lost from here on (No space left on device)\n")


def test_streams_put_there_by_somebody_else_stay(capsys):
    before = sys.stdout, sys.stderr
    harmless_streams()
    assert (sys.stdout, sys.stderr) == before


@pytest.mark.parametrize(
    ("words", "redirection"),
    [
        pytest.param(words, ending, marks=[] if ending in endings else pytest.mark.slow)
        for words, endings in COMMANDS.items()
        for ending in ENDINGS
    ],
)
def test_commands_end_quietly_with_their_own_status(prepared, words, redirection):
    status, said = shell(f"{sys.executable} {words.format(prepared)}", redirection)
    assert status == (2 if "none" in words else 0)
    assert "Traceback" not in said and "BrokenPipe" not in said and "Exception ignored" not in said


QUICK = (
    "size=tiny tokenizer=bytes budget=smoke budget.train_steps=1 budget.subset_tokens=300 train.compile=never "
    "hook=[] logger=[jsonl] quant=int5_rtn compressor=zlib ngram=none mixer=none"
)


@pytest.mark.slow  # commands that end sooner: above
def test_a_run_without_streams_on_files_whose_names_are_no_text_finishes_with_its_record(tmp_path):
    folder = tmp_path / "corpus [new]"
    folder.mkdir()
    for index in range(20):
        (folder / os.fsdecode(b"\xff%02d.txt" % index)).write_text(f"document {index} of a small corpus\n" * 60)
    glob = shlex.quote(f"data.paths=['{folder}/*.txt']")
    status, said = shell(f"{sys.executable} {ROOT / 'train.py'} {QUICK} data=text {glob}", CLOSED, cwd=tmp_path)
    assert status == 0, said
    (run,) = (tmp_path / "runs").glob("*/seed=1337")
    assert json.loads((run / "result.json").read_text())["status"] == "finished"
    assert "bits per byte" in (run / "console.log").read_text()
    assert os.fsencode(folder) in (run / "overrides").read_bytes()
    assert str(folder) in json.loads((run / "result.json").read_text())["run"]["command"]
    assert str(folder) in read_config(run / "config.yaml")["data"]["paths"][0]
    assert read_rows(tmp_path / "runs" / "experiments.csv")[0]["status"] == "finished"
    words = ["data=text", glob, f"artifact={run / 'artifact.pgolf'}", "budget=smoke", "size=tiny"]
    status, said = shell(
        f"{sys.executable} {ROOT / 'eval.py'} {' '.join(words)} budget.subset_tokens=300 out=out.json",
        UNREAD,
        cwd=tmp_path,
    )
    assert status == 0 and json.loads((tmp_path / "out.json").read_text())["certificate"]["passed"], said
