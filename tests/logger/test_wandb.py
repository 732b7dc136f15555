"""The mirror must work offline and must never fail a run or hold it up. No network: closed local ports only."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from pgolf.core.make import make
from pgolf.logger.wandb import Wandb

FACTS = {"run": {"name": "base", "seed": 3}, "config": {"quant": {"bits": 6}}}
RESULT = {
    "status": "finished",
    "scores": {"final": {"val_bpb": 1.25}, "dev": None},
    "certificate": {"probes": []},
}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)


def drive(tmp_path, mode="auto", init_timeout=1.0, deadline=20.0, steps=50):
    """Run the whole life of a logger; return what it said and the seconds spent in its calls."""
    said = []
    began = time.monotonic()
    logger = Wandb(
        mode=mode,
        project="pgolf",
        entity=None,
        init_timeout=init_timeout,
        deadline=deadline,
        folder=tmp_path,
        say=said.append,
    )
    logger.start(FACTS)
    for step in range(steps):
        logger.log(step, {"train_loss": 1.0 / (step + 1), "odd": float("nan")})
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


def records(path):
    """Read a .wandb file: a LevelDB log of protobuf records (private format, so in a test only)."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, whole = path.read_bytes(), 7, b""
    while place + 7 <= len(data):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        length, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        if kind == 0:
            break
        whole += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            record = Record()
            record.ParseFromString(whole)
            whole = b""
            yield record


def test_offline_run_holds_config_metrics_and_summary(tmp_path):
    said, _ = drive(tmp_path)
    assert said == [f"wandb: offline (no WANDB_API_KEY), files in {tmp_path / 'wandb'}"]
    (file,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    kinds = [record.WhichOneof("record_type") for record in records(file)]
    assert kinds.count("history") == 50 and "exit" in kinds
    raw = file.read_bytes()
    for word in (b"base/seed=3", b"scores/final/val_bpb", b"quant", b"pgolf"):
        assert word in raw


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
    said, seconds = drive(tmp_path, "auto", init_timeout=1.0)
    assert len(said) == 1 and "offline, because online failed" in said[0] and "wandb sync" in said[0]
    assert seconds < 20
    (file,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    assert [r.WhichOneof("record_type") for r in records(file)].count("history") == 50


def test_online_without_a_key_falls_back_without_asking(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    said, seconds = drive(tmp_path, "online")
    assert len(said) == 1 and "offline, because online failed" in said[0]
    assert seconds < 20


def test_missing_package_is_one_line(fake):
    folder = fake("raise ModuleNotFoundError(\"No module named 'wandb'\")")
    said, seconds = drive(folder, "online")
    assert said == ["wandb: not used: ModuleNotFoundError: No module named 'wandb'; "
                    "metrics.jsonl and result.json have everything"]  # fmt: skip
    assert seconds < 10


RAISES_LATER = """
class Settings(dict):
    pass
class Run:
    summary = {}
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
    said, seconds = drive(fake(source), "online", deadline=1.5, steps=3000)
    assert 1.0 < seconds < 5.0
    assert len(said) == 1 and "given up after 1.5 s" in said[0]


def test_package_that_kills_its_process_is_one_line(fake):
    said, _ = drive(fake("import os; os.kill(os.getpid(), 11)"), "online")
    assert len(said) == 1 and "stopped with status -11" in said[0]


def test_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "wandb").write_text("")
    said, _ = drive(tmp_path)
    assert len(said) == 1 and "not used" in said[0]


def test_killed_run_leaves_no_process_behind_and_keeps_its_rows(tmp_path):
    script = (
        "import os, sys, time; from pathlib import Path; from pgolf.logger.wandb import Wandb\n"
        "logger = Wandb(mode='offline', project='p', entity=None, init_timeout=1, deadline=5,"
        " folder=Path(sys.argv[1]), say=print)\n"
        "logger.start({})\n"
        "for i in range(30): logger.log(i, {'a': i})\n"
        "assert 'wandb' not in sys.modules, 'it belongs into the other process'\n"
        "print(logger._process.pid, flush=True); time.sleep(0.5); os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True)
    worker = int(done.stdout.split()[-1])
    for _ in range(100):
        if not alive(worker):
            break
        time.sleep(0.1)
    assert not alive(worker)
    (file,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    assert [r.WhichOneof("record_type") for r in records(file)].count("history") == 30


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
