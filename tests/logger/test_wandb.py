"""The mirror must work offline and must never fail a run or hold it up. No network: closed local ports only."""

import os
import socket
import subprocess
import sys
import time
import typing
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from pgolf.config.check import value_problem
from pgolf.core.make import make
from pgolf.logger.wandb import Wandb, described
from pgolf.track.columns import columns_of
from tests.logger.wandb_files import parts

FACTS = {
    "run": {"name": "base", "seed": 3, "rerun": 2, "job": "sweep", "resumed": False},
    "config": {
        "quant": {"bits": 6},
        "choices": {"arch": "baseline", "quant": "x" * 80, "ngram": "none", "experiment": None},
        "sweep": "seeds",
        "hypothesis": "six bits do",
        "notes": "",
    },
    "machine": {"device": "cpu"},
}
RESULT = {
    "status": "finished",
    "scores": {"final": {"val_bpb": 1.25}, "dev": None},
    "certificate": {"probes": []},
}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)


def drive(tmp_path, mode="auto", init_timeout=1.0, deadline=150.0, steps=range(50), upload=False, facts=FACTS):
    """Run the whole life of a logger; return what it said and the seconds spent in its calls."""
    said = []
    began = time.monotonic()
    logger = Wandb(
        mode=mode,
        project="pgolf",
        entity=None,
        init_timeout=init_timeout,
        deadline=deadline,
        upload_artifact=upload,
        folder=tmp_path,
        say=said.append,
    )
    logger.start(facts)
    for step in steps:
        logger.log(step, {"train_loss": 1.0 / (step + 1), "odd": float("nan"), "train_seconds": step / 8})
    before_finish = time.monotonic() - began
    logger.finish(RESULT)
    logger.finish(RESULT)
    logger.log(99, {"late": 1.0})
    assert before_finish < 1.0, "start and log return at once"
    return said, time.monotonic() - began


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Put a module named wandb with the given source before the real one, in the worker process only."""

    def install(source):
        place = tmp_path / "fake"
        place.mkdir()
        (place / "wandb.py").write_text(source)
        monkeypatch.setenv("PYTHONPATH", str(place))
        folder = tmp_path / "run"
        folder.mkdir()
        return folder

    return install


def test_an_offline_run_holds_what_a_person_will_look_for(tmp_path):
    (tmp_path / "artifact.pgolf").write_bytes(b"weights")
    (tmp_path / "result.json").write_text("{}")
    said, _ = drive(tmp_path, upload=True)
    assert said == [f"wandb: offline (no WANDB_API_KEY), files in {tmp_path / 'wandb'}"]
    (part,) = parts(tmp_path)
    run = part.run
    assert (run.project, run.run_group, run.job_type) == ("pgolf", "base", "sweep")
    assert (run.display_name, run.notes) == ("base/seed=3.r2", "six bits do")
    assert list(run.tags) == ["arch=baseline", "quant=" + "x" * 58, "ngram=none", "sweep=seeds"]
    assert {**FACTS["config"], "run": FACTS["run"], "machine": FACTS["machine"]}.items() <= part.config.items()
    assert columns_of(RESULT).items() <= part.summary.items() and part.summary["score/bpb"] == 1.25
    assert part.axes == {"step": "", "train_seconds": "", "*": "step", "by_seconds/*": "train_seconds"}
    assert [row["step"] for row in part.rows] == list(range(50)) and "exit" in part.kinds
    row = part.rows[8]
    assert (row["train_loss"], row["by_seconds/train_loss"], row["train_seconds"]) == (1 / 9, 1 / 9, 1.0)
    (uploaded,) = part.artifacts
    files = {entry.path: Path(entry.local_path) for entry in uploaded.manifest.contents}
    assert files["artifact.pgolf"] == tmp_path / "artifact.pgolf", "what is large is not copied"
    (tmp_path / "result.json").write_text("changed later")
    assert files.keys() == {"artifact.pgolf", "result.json"} and files["result.json"].read_text() == "{}"


def test_an_evaluation_is_in_no_mean_over_the_seeds_of_its_run(tmp_path):
    found = described({"name": "base", "seed": 3, "job": "eval"}, {}, tmp_path)
    assert (found["name"], found["group"], found["job_type"]) == ("base/seed=3", "eval of base", "eval")
    nobody = described({"name": "a", "seed": None, "rerun": 1, "job": "eval"}, {"choices": None}, tmp_path)
    assert nobody["name"] == "a" and nobody["tags"] == [] and nobody["notes"] == ""


def test_disabled_starts_nothing_and_writes_nothing(tmp_path, monkeypatch):
    assert drive(tmp_path, "disabled")[0] == []
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert drive(tmp_path, "auto")[0] == []
    assert list(tmp_path.iterdir()) == []


def closed_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_unreachable_server_falls_back_to_offline_with_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{closed_port()}")
    said, _ = drive(tmp_path, "auto", init_timeout=1.0)
    assert len(said) == 1 and "offline, because online failed" in said[0] and "wandb sync" in said[0]
    (part,) = parts(tmp_path)
    assert len(part.rows) == 50 and not part.run.resume


def test_online_without_a_key_falls_back_without_asking(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    said, _ = drive(tmp_path, "online")
    assert len(said) == 1 and "offline, because online failed" in said[0]


def test_missing_package_is_one_line(fake):
    folder = fake("raise ModuleNotFoundError(\"No module named 'wandb'\")")
    said, _ = drive(folder, "online")
    assert said == ["wandb: not used: ModuleNotFoundError: No module named 'wandb'; "
                    "metrics.jsonl and result.json have everything"]  # fmt: skip


RAISES_LATER = """
class Settings(dict):
    pass
class Run:
    summary = {}
    def define_metric(self, *_, **__): pass
    def log(self, metrics, step):
        if step == 20: raise RuntimeError("the service went away")
    def finish(self, exit_code): pass
def init(**_): return Run()
"""


def test_package_that_raises_in_mid_run_is_one_line(fake):
    said, _ = drive(fake(RAISES_LATER), "online")
    assert len(said) == 1 and "stopped: RuntimeError: the service went away" in said[0]


HANGS = """
import time
class Settings(dict):
    pass
class Run:
    summary = {}
    def define_metric(self, *_, **__): pass
    def log(self, metrics, step): WHERE == "log" and time.sleep(600)
    def finish(self, exit_code): WHERE == "finish" and time.sleep(600)
def init(**_):
    WHERE == "init" and time.sleep(600)
    return Run()
"""


@pytest.mark.parametrize(
    "where", ["import", "finish", *(pytest.param(name, marks=pytest.mark.slow) for name in ("init", "log"))]
)
def test_package_that_hangs_costs_the_deadline_and_no_more(fake, where):
    source = "import time; time.sleep(600)" if where == "import" else f"WHERE = {where!r}\n{HANGS}"
    said, seconds = drive(fake(source), "online", deadline=1.5, steps=range(3000))
    assert 1.0 < seconds < 5.0
    assert len(said) == 1 and "given up after 1.5 s" in said[0]


def test_package_that_kills_its_process_is_one_line(fake):
    said, _ = drive(fake("import os; os.kill(os.getpid(), 11)"), "online")
    assert len(said) == 1 and "stopped with status -11" in said[0]


def test_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "wandb").write_text("")
    said, _ = drive(tmp_path)
    assert len(said) == 1 and "not used" in said[0]


def test_a_killed_run_leaves_no_process_and_all_its_rows_and_its_resumption_goes_on_in_the_same_run(tmp_path):
    script = (
        "import os, sys, time; from pathlib import Path; from pgolf.logger.wandb import Wandb\n"
        "logger = Wandb(mode='offline', project='p', entity=None, init_timeout=1, deadline=5, upload_artifact=False,"
        " folder=Path(sys.argv[1]), say=print)\n"
        "logger.start({})\n"
        "for i in range(30): logger.log(i, {'a': i})\n"
        "assert 'wandb' not in sys.modules, 'it belongs into the other process'\n"
        "print(logger._process.pid, flush=True); time.sleep(0.5); os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True)
    worker = int(done.stdout.split()[-1])
    for _ in range(1000):
        if not alive(worker):
            break
        time.sleep(0.1)
    assert not alive(worker)
    drive(tmp_path, steps=range(20, 40), facts={**FACTS, "run": {**FACTS["run"], "resumed": True}})
    first, second = parts(tmp_path)
    assert first.run.run_id == second.run.run_id and not first.run.resume and second.run.resume
    assert [row["step"] for part in (first, second) for row in part.rows] == [*range(30), *range(20, 40)]
    assert [row["_step"] for part in (first, second) for row in part.rows] == list(range(50)), "none is before another"
    sync = [sys.executable, "-m", "wandb", "sync", "--dry-run", *tmp_path.glob("wandb/offline-run-*")]
    told = subprocess.run(sync, capture_output=True, text=True)
    assert "Would sync 2 run(s)" in told.stdout + told.stderr


QUIET = """
class Settings(dict):
    pass
class Run:
    id, summary = "", {}
    def define_metric(self, *_, **__): pass
    def log(self, metrics, step): pass
    def finish(self, exit_code): pass
def init(**given):
    print("say", given["mode"], given["id"], given["resume"])
    return Run()
"""


def test_a_resumed_run_waits_offline_until_its_first_part_is_uploaded(fake):
    folder = fake(QUIET)
    resumed = {**FACTS, "run": {**FACTS["run"], "resumed": True}}
    kept = folder / "wandb" / "offline-run-1-0123456789" / "run-0123456789.wandb"
    kept.parent.mkdir(parents=True)
    kept.touch()
    (folder / "wandb" / "run_id").write_text("0123456789\n")
    said, _ = drive(folder, "online", facts=resumed)
    assert said[0].startswith("wandb: offline (its first part is not synced yet)")
    assert "wandb: offline 0123456789 allow" in said
    kept.with_name(kept.name + ".synced").touch()
    assert drive(folder, "online", facts=resumed)[0] == ["wandb: online 0123456789 allow"]
    (folder / "wandb" / "run_id").write_text("../../x\n")
    said, _ = drive(folder, "online", facts=resumed)
    assert "does not name the one to go on with" in said[0] and said[1].endswith(" None") and ".." not in said[1]


def test_a_mirror_that_dies_in_mid_run_is_said_then_and_there(fake):
    folder = fake("import os; os.kill(os.getpid(), 9)")
    said = []
    logger = Wandb(
        mode="online", project="p", entity=None, init_timeout=1, deadline=5, upload_artifact=False, folder=folder,
        say=said.append,
    )  # fmt: skip
    logger.start(FACTS)
    for _ in range(1000):
        if said:
            break
        time.sleep(0.1)
    assert said == ["wandb: stopped with status -9; metrics.jsonl and result.json have everything"]
    logger.log(1, {"a": 1.0})
    logger.finish(RESULT)
    assert len(said) == 1


def test_a_disk_that_takes_no_more_is_said(fake):
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
    said, _ = drive(fake(limit + QUIET), "online")
    assert len(said) == 2 and "its files may be cut short" in said[1] and "File too large" in said[1]


@pytest.mark.parametrize("name", ["a/b", "..\\x", "", " p", "x" * 129, "a\nb", "50%", "p?q#r:"])
def test_a_project_that_wandb_would_not_take_is_refused_before_training(name):
    hints = typing.get_type_hints(Wandb.__init__, include_extras=True)
    assert "none of / \\ # ? % :" in value_problem(name, hints["project"])
    assert value_problem(name, hints["entity"]) and value_problem(None, hints["entity"]) is None
    assert value_problem("pgolf – зима", hints["project"]) is None


def alive(process):
    try:
        with open(f"/proc/{process}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_yaml_holds_every_number_of_the_constructor(tmp_path):
    path = Path(__file__).parents[2] / "conf" / "logger" / "wandb.yaml"
    assert path.read_text().splitlines()[0] == "# @package logger.wandb"
    node = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(make(node, folder=tmp_path, say=print), Wandb)
