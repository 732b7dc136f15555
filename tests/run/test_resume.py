"""A run stopped and taken up again is the run that was not stopped: its artifact, its logs, its seconds."""

import copy
import json
import os
import signal
import sys
from functools import lru_cache

import pytest
import torch

from pgolf.averaging.ema import EMA
from pgolf.config.compose import compose, settings, to_yaml
from pgolf.config.content import content
from pgolf.config.naming import config_hash, run_name
from pgolf.core.errors import ConfigError, RunError
from pgolf.core.signals import Stopped, heeding_signals
from pgolf.hook import checkpoint as hook
from pgolf.run import resume, stages
from pgolf.run.record import Run
from pgolf.run.rules import check
from pgolf.track.result import RunFacts, build_result, write_result
from pgolf.track.textlog import parse_log
from pgolf.train.checkpoints import Checkpoints, SavedState
from pgolf.train.trainer import Trainer
from tests import warm
from tests.processes import until
from tests.run.test_record import WORDS, cache, raising  # noqa: F401 - a fixture
from tests.train.rig import rig
from train import train

STEPS = 9
OURS = (
    *WORDS,
    f"budget.train_steps={STEPS}",
    "train.threads=1",
    "hook=[checkpoint,validate]",
    "hook.checkpoint.every_seconds=1e-9",
    "hook.validate.times=2",
    "hook.validate.dev_tokens=100",
)


@lru_cache
def composed(*words):
    return settings(compose([*OURS, *words]))


class Over(Exception):
    """The artifact is there; what comes then is evaluation."""


class Killed(BaseException):
    pass


def start(root, cache, *words):  # noqa: F811
    with heeding_signals():
        places = {"run_root": str(root), "cache_dir": str(cache)}
        return train(copy.deepcopy(composed(*words)) | places, [*OURS, *words])


def at_step(monkeypatch, step, happens):
    honest = Trainer._accumulate

    def accumulate(trainer, *args):
        if trainer.step == step:
            happens()
        return honest(trainer, *args)

    monkeypatch.setattr(Trainer, "_accumulate", accumulate)


def killed():
    raise Killed


def folder_of(root):
    (folder,) = root.glob("*/seed=1337")
    return folder


def told(folder):
    records = parse_log((folder / "train.log").read_text())
    log = [(record.kind, record.facts.get("step")) for record in records if record.kind != "peak_memory"]
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    seconds = [line["seconds"] for line in metrics]
    assert seconds == sorted(seconds)
    return log, [(line["step"], sorted(line)) for line in metrics], [line.get("train_loss") for line in metrics]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, cache):  # noqa: F811
    root = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Over):
        patch.setattr(stages, "score_dev", raising(Over()))
        start(root, cache)
    return folder_of(root)


def test_a_run_stopped_and_taken_up_three_times_ends_in_the_same_artifact(tmp_path, cache, whole, monkeypatch):  # noqa: F811
    monkeypatch.setattr(stages, "score_dev", raising(Over()))
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        at_step(patch, 2, lambda: signal.raise_signal(signal.SIGTERM))
        start(tmp_path, cache)
    folder = folder_of(tmp_path)
    ledgers = [json.loads((folder / "result.json").read_text())["ledger"]]
    with monkeypatch.context() as patch, pytest.raises(Killed):
        at_step(patch, 6, killed)
        patch.setattr(hook.Checkpoint, "at_break", lambda *args: None)
        patch.setattr("pgolf.run.record.write_result", raising(RunError("it was killed")))
        start(tmp_path, cache, "resume=true")
    assert not (folder / "result.json").exists() and "after step 2" in (folder / "console.log").read_text()
    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(stages, "pack_weights", raising(MemoryError()))
        start(tmp_path, cache, "resume=true")
    ledgers.append(json.loads((folder / "result.json").read_text())["ledger"])
    with monkeypatch.context() as patch, pytest.raises(Over):
        patch.setattr(Trainer, "_step", raising(AssertionError("it was trained already")))
        start(tmp_path, cache, "resume=true")
    ledgers.append(json.loads((folder / "result.json").read_text())["ledger"])
    assert (folder / "artifact.pgolf").read_bytes() == (whole / "artifact.pgolf").read_bytes()
    assert torch.load(folder / "weights.pt", weights_only=True).keys()
    assert told(folder) == told(whole)
    for stage in ("prepare", "build", "train", "checkpoint"):
        assert ledgers[0][stage] < ledgers[1][stage], stage
    assert ledgers[2]["train"] >= ledgers[1]["train"] - 1.0 and ledgers[2]["build"] > ledgers[1]["build"]
    assert "training is over" in (folder / "console.log").read_text()


def test_a_run_that_keeps_its_metrics_back_has_all_of_them_when_it_is_taken_up(tmp_path, cache, whole, monkeypatch):  # noqa: F811
    monkeypatch.setattr(stages, "score_dev", raising(Over()))
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        at_step(patch, 5, lambda: signal.raise_signal(signal.SIGTERM))
        start(tmp_path, cache, "logger.jsonl.flush_seconds=1000")
    with pytest.raises(Over):
        start(tmp_path, cache, "logger.jsonl.flush_seconds=1000", "resume=true")
    assert told(folder_of(tmp_path)) == told(whole)


@pytest.mark.skipif(sys.platform != "linux", reason="runs are forked")
def test_a_run_that_the_system_kills_goes_on_to_the_same_artifact(tmp_path, cache, whole, monkeypatch):  # noqa: F811
    words = [*OURS, f"run_root={tmp_path}", f"cache_dir={cache}"]
    with open(tmp_path / "errors", "ab") as log:
        child = warm.start("train.py", *words, cwd=tmp_path, environment=os.environ, log=log)
    until(lambda: list(tmp_path.glob("*/*/checkpoints/*.ckpt")), 120)
    os.kill(child.pid, signal.SIGKILL)
    with child.stdin, child.stdout:
        child.stdout.read()
    child.wait(60)
    monkeypatch.setattr(stages, "score_dev", raising(Over()))
    with pytest.raises(Over):
        start(tmp_path, cache, "resume=true")
    assert (folder_of(tmp_path) / "artifact.pgolf").read_bytes() == (whole / "artifact.pgolf").read_bytes()
    assert told(folder_of(tmp_path)) == told(whole)


@pytest.fixture
def unfinished(tmp_path):
    """A run stopped after step 5, as its folder says."""

    def make(*words, step=5, facts=None, status="interrupted"):
        cfg = composed(*words)
        folder = tmp_path / run_name(cfg, cfg["choices"]) / f"seed={cfg['seed']}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_text(to_yaml(cfg))
        machine = {"autocast": "none", "compile": False, "threads": 1}
        made = {"config_hash": config_hash(cfg), "world": 1, "logs": {}, "ledger": {}, "machine": machine}
        Checkpoints(folder).write(step, made | (facts or {}), {}, keep=2)
        if status:
            run = RunFacts("n", cfg["seed"], 1, None, None, "abc", "python train.py")
            write_result(folder, build_result(status=status, reason="", run=run, budget={}, ledger={}))
        return folder

    return make


def asked(tmp_path, *words):
    cfg = composed(*words)
    found = resume.find(cfg, tmp_path, run_name(cfg, cfg["choices"]), 1)
    found.folder.close()
    return found


def test_what_was_odd_before_is_still_in_the_result_of_a_run_that_is_resumed(tmp_path, unfinished):
    odd = [{"step": 3, "kind": "spike", "text": "loss spike at step 3"}]
    machine = {"autocast": "none", "compile": False, "threads": 1}
    folder = unfinished(facts={"anomalies": odd, "machine": machine})
    with Run.open({**composed(), "run_root": str(tmp_path), "resume": True}, []) as run:
        assert run.account()["anomalies"] == odd
        run.tell("anomaly", "dead", step=8, kind="dead", names=("a",))
    found = json.loads((folder / "result.json").read_text())["anomalies"]
    assert found == [*odd, {"step": 8, "text": "dead", "kind": "dead", "names": ["a"]}]


def test_with_another_config_the_nearest_unfinished_run_is_named_with_the_keys_that_differ(tmp_path, unfinished):
    unfinished("seed=3", "train.grad_clip=0.5")
    near = unfinished("seed=2", "schedule.floor=0.0")
    unfinished("seed=2", "optimizer.matrix_lr=0.01", status="finished")
    with pytest.raises(RunError) as caught:
        asked(tmp_path, "seed=2", "optimizer.matrix_lr=0.01", "quant.bits=4", "schedule.floor=0")
    assert str(caught.value).endswith(
        f"The nearest unfinished one is {near}, which differs in optimizer.matrix_lr: 0.01 here, 0.02 there; "
        "quant.bits: 4 here, 5 there"
    )


def test_where_nothing_was_left_unfinished_that_is_said(tmp_path):
    with pytest.raises(RunError, match=r"there is no run in .* has been left unfinished"):
        asked(tmp_path)
    assert not list(tmp_path.iterdir()), "asking makes no folder"


def test_a_complete_run_is_not_resumed_but_its_unfinished_rerun_is(tmp_path, unfinished):
    folder = unfinished(status="finished")
    with pytest.raises(RunError, match=r"complete \(finished.*rerun=true, overwrite=true, another seed"):
        asked(tmp_path)
    folder.rename(tmp_path / "kept")
    rerun = unfinished().rename(folder.with_name("seed=1337.r2"))
    (tmp_path / "kept").rename(folder)
    assert asked(tmp_path).folder.path == rerun


def test_a_run_without_a_checkpoint_cannot_be_resumed(tmp_path, unfinished):
    folder = unfinished()
    (folder / "unfinished-1").mkdir()
    (folder / "checkpoints").rename(folder / "unfinished-1" / "checkpoints")
    with pytest.raises(
        RunError, match="holds no checkpoint to go on from; those of earlier attempts are in unfinished-1"
    ):
        asked(tmp_path)
    assert not (folder / ".lock").exists() and (folder / "result.json").exists()


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({"world": 2}, "a run of 2 processes, not of 1"),
        ({"config_hash": "other"}, "made by another config"),
        ({"logs": None}, "not what a checkpoint of a run says"),
        ({"machine": {}}, "not what a checkpoint of a run says"),
    ],
    ids=str,
)
def test_a_checkpoint_of_another_kind_of_run_is_refused(facts, text, tmp_path, unfinished):
    folder = unfinished(facts=facts)
    with pytest.raises(RunError, match=text):
        asked(tmp_path)
    assert not (folder / ".lock").exists()


def test_a_torn_checkpoint_is_said_and_the_one_before_it_taken(tmp_path, unfinished):
    unfinished(step=4)
    newest = Checkpoints(unfinished(step=5)).paths()[-1]
    newest.write_bytes(newest.read_bytes()[:-1])
    found = asked(tmp_path)
    assert found.checkpoint.step == 4 and "torn or changed" in found.notes[0] and "after step 4" in found.notes[1]


def test_what_was_decided_about_the_machine_is_taken_over_and_its_changes_are_told(tmp_path, unfinished):
    before = {"autocast": "bfloat16", "compile": False, "threads": 1, "torch": "2.0"}
    unfinished("train.threads=null", "train.compile=auto", facts={"machine": before, "code_sha256": "a"})
    found, cfg = asked(tmp_path, "train.threads=null", "train.compile=auto"), composed("train.threads=null")
    settled = found.settled(cfg | {"train": cfg["train"] | {"compile": "auto"}})["train"]
    assert (settled["precision"], settled["compile"], settled["threads"]) == ("bf16", "never", 1)
    assert found.settled(composed("train.precision=fp32"))["train"]["precision"] == "fp32", "what is asked for stands"
    now = {"machine": before | {"torch": "2.9"}, "code_sha256": "b"}
    assert list(found.changes(now)) == [
        "torch 2.9, but 2.0 before: bits may differ",
        "the code has changed since: bits may differ",
    ]


@pytest.mark.parametrize(
    ("other", "text"),
    [
        (lambda s: {**s, "model": {**s["model"], "more": torch.zeros(1)}}, "its weights are not those of this model"),
        (lambda s: {**s, "hooks": [*s["hooks"], {}]}, "its hooks remember other things"),
        (lambda s: {key: s[key] for key in s if key != "loader"}, "it has no loader"),
        (lambda s: s, None),
    ],
    ids=["weights", "hooks", "keys", "its own"],
)
def test_a_state_that_other_code_has_written_is_refused_before_training(other, text, tmp_path):
    trainer = rig(hooks=[EMA(decay=0.9)], steps=2)
    checkpoint = SavedState(tmp_path / "2.ckpt", 2, False, {"git_sha": "abc"}, other(trainer.state()))
    assert set(resume._STATE) == set(trainer.state())
    if text is None:
        resume._check_state(checkpoint, trainer)
        return
    with pytest.raises(RunError, match=f"{text}; it was written by other code, at revision abc"):
        resume._check_state(checkpoint, trainer)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("resume=true", "rerun=true"), "One of the three"),
        (("resume=true", "overwrite=true"), "One of the three"),
        (("resume=true", "dry_run=true"), "one of the two"),
        (("resume=true", "hook=[validate]"), r"keep hook\.checkpoint"),
    ],
    ids=str,
)
def test_words_that_do_not_go_with_resume_are_refused(words, text):
    with pytest.raises(ConfigError, match=text):
        check(settings(compose([*WORDS, *words])))


def test_checkpoints_are_no_part_of_a_name_or_of_the_script():
    usual, without = (settings(compose([*WORDS, f"hook=[{names}]"])) for names in ("checkpoint,validate", "validate"))
    assert usual["hook"].keys() != without["hook"].keys() and content(usual) == content(without)
    assert run_name(usual, usual["choices"]) == run_name(without, without["choices"])
