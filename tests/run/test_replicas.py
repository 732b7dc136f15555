"""Who trains together: contradictions are refused before anything starts, and nobody outlives who started them."""

import copy
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from pgolf.core.errors import ConfigError, RankLost
from pgolf.core.process import Process, share_threads
from pgolf.run import replicas
from pgolf.run.replicas import replicas_of, trains_in
from pgolf.train.replicas import ALONE
from tests.helpers import SMOKE, tiny_settings
from tests.processes import descendants, until
from tests.warm import ROOT

TWO = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}
LAUNCHED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "SLURM_PROCID", "SLURM_STEP_ID", "SLURM_NTASKS")


@pytest.fixture(autouse=True)
def started_by_hand(monkeypatch):
    for name in LAUNCHED:
        monkeypatch.delenv(name, raising=False)


def cfg_of(*words, **train):
    cfg = copy.deepcopy(dict(tiny_settings(*words)))
    cfg["train"] = {**cfg["train"], **train}
    return cfg


def test_one_process_is_alone_and_starts_nobody():
    for count in (None, 1):
        assert trains_in(cfg_of(processes=count)) == Process(0, 1)
        with replicas_of(cfg_of(processes=count)) as found:
            assert found is ALONE


def test_processes_are_those_asked_for_or_those_that_were_started(monkeypatch):
    assert trains_in(cfg_of(processes=2)) == Process(0, 2, 0, 2)
    for name, value in TWO.items():
        monkeypatch.setenv(name, value)
    assert trains_in(cfg_of()) == trains_in(cfg_of(processes=2)) == Process(1, 2, 1, 2, "env://")
    with pytest.raises(ConfigError, match=r"train.processes: 4, but what started this process says 2"):
        trains_in(cfg_of(processes=4))


def test_processes_that_would_share_a_gpu_are_refused_before_anything_starts(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match=r"train.processes: 2, and torch sees 1 CUDA devices .*device=cpu"):
        trains_in(cfg_of(processes=2) | {"device": "auto"})
    assert trains_in(cfg_of(processes=2) | {"device": "cpu"}).world == 2
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert trains_in(cfg_of(processes=2) | {"device": "auto"}).world == 2


@pytest.mark.parametrize(
    ("words", "train", "message"),
    [
        ((), {"processes": 3}, r"256 is no multiple of processes × accumulation × window = 3 × 1 × 64"),
        ((), {"processes": 3, "accumulation": 4}, r"3 × 2 × 64; train.accumulation=4 is that of one process"),
        ((), {"processes": 8}, r"8 × 1 × 64"),
    ],
)
def test_what_cannot_be_shared_is_refused_before_anything_starts(words, train, message):
    with pytest.raises(ConfigError, match=message), replicas_of(cfg_of(*words, **train)):
        pass


@pytest.mark.parametrize(("processes", "accumulation"), [(2, 1), (4, 1), (2, 2), (4, 4), (2, 3)])
def test_a_batch_that_can_be_cut_is_shared_whether_or_not_accumulation_divides(processes, accumulation):
    words = ("train.batch_tokens=768",) if accumulation == 3 else ()
    assert trains_in(cfg_of(*words, processes=processes, accumulation=accumulation)).world == processes


def test_one_that_ends_before_it_begins_is_an_error_and_not_waited_for(monkeypatch):
    monkeypatch.setattr(replicas, "FOLLOWER", "raise SystemExit(7)")
    lost = pytest.raises(RankLost, match="rank 1 has ended before it began, with status 7")
    with lost, replicas_of(cfg_of(processes=2)):
        pass
    until(lambda: not descendants(os.getpid()) or "SystemExit(7)" not in str(descendants(os.getpid())), 10)


@pytest.mark.parametrize("wanted", [None, 6])
def test_each_process_has_its_part_of_the_threads_whoever_started_it(wanted, monkeypatch):
    used, process = [], Process(0, 2, 0, 2, "file://meeting")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    theirs = replicas._environment(cfg_of(processes=2, threads=wanted), 1)
    assert share_threads(wanted, process) == (wanted or 8)
    monkeypatch.setattr(os, "environ", theirs)
    monkeypatch.setattr(torch, "get_num_threads", lambda: int(theirs["OMP_NUM_THREADS"]))  # as torch begins
    assert share_threads(wanted, replace(process, rank=1, local_rank=1)) == (wanted or 8)
    assert used == [(wanted or 8) // 2] * 2


def test_torchruns_processes_meet_once(monkeypatch):
    for name, value in TWO.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(replicas, "_started_together", True)
    with pytest.raises(ConfigError, match=r"of one run; a sweep takes train.processes"), replicas_of(cfg_of()):
        pass


WORDS = (*SMOKE, "train.processes=2", "train.compile=never")


def started(tmp_path, *words):
    environment = {name: value for name, value in os.environ.items() if name not in LAUNCHED}
    log = (tmp_path / "log").open("wb")
    command = [sys.executable, str(ROOT / "train.py"), *WORDS, f"run_root={tmp_path}", *words]
    heeding = lambda: signal.signal(signal.SIGINT, signal.default_int_handler)  # noqa: E731 - ignored in background
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log, preexec_fn=heeding)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_followers_end_with_who_started_them(tmp_path, number, status):
    run = started(tmp_path, "budget.train_steps=100000")
    until(lambda: "steps" in (tmp_path / "log").read_text(errors="replace"), 300)
    others = [seen for seen in descendants(run.pid) if "be_follower" in seen.command]
    assert len(others) == 1
    run.send_signal(number)
    assert run.wait(60) == status
    until(lambda: not any(other.alive() for other in others), 10)


@pytest.mark.slow
def test_a_follower_that_is_killed_ends_the_run_with_the_reason(tmp_path):
    run = started(tmp_path, "budget.train_steps=100000")
    until(lambda: "steps" in (tmp_path / "log").read_text(errors="replace"), 300)
    (other,) = (seen for seen in descendants(run.pid) if "be_follower" in seen.command)
    os.kill(other.pid, signal.SIGKILL)
    assert run.wait(60) == RankLost.exit_status
    (result,) = tmp_path.glob("*/seed=*/result.json")
    assert "another of the 2 processes has ended" in json.loads(result.read_text())["reason"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "kinds"),
    [
        ((), ["train_loss"]),
        (("hook=[anomaly,checkpoint,validate,wallclock,burst]", "hook.burst.below_lr_scale=0.9"), ["train_loss"]),
        (("distillation=two_phase",), ["teacher_loss", "train_loss"]),
    ],
    ids=["plain", "burst", "teacher"],
)
def test_two_processes_have_the_losses_of_one(tmp_path, more, kinds):
    exact = ("optimizer.ns_dtype=float32", "train.precision=fp32", "train.accumulation=2")
    for words in (("train.processes=2",), ("train.processes=1", "rerun=true")):
        assert started(tmp_path, *exact, *more, *words).wait(600) == 0, (tmp_path / "log").read_text()
    one, two = ([*map(json.loads, path.open())] for path in sorted(tmp_path.glob("*/seed=*/metrics.jsonl")))
    for kind in kinds:
        losses, others = ([row[kind] for row in rows if kind in row] for rows in (one, two))
        assert len(losses) > 5 and losses == pytest.approx(others, abs=1e-4)
    scores = [json.loads(path.read_text())["scores"] for path in sorted(tmp_path.glob("*/seed=*/result.json"))]
    assert scores[0]["prequant"]["val_bpb"] == pytest.approx(scores[1]["prequant"]["val_bpb"], abs=1e-4)
