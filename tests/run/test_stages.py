"""The two scripts as users run them: one whole road, its records, and every way it can end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pgolf.track.experiments import read_rows
from pgolf.track.textlog import parse_log
from tests import warm
from tests.helpers import SMOKE
from tests.processes import until

ROOT = Path(__file__).resolve().parents[2]
TINY = [*SMOKE]
# Where it is the ending that matters, not what is packed.
QUICK = ["quant=int5_rtn", "hook=[]", "budget.train_steps=3", "budget.subset_tokens=100"]


def environment(tmp: Path) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "HOME": str(tmp), "PYTHONPATH": str(ROOT)}


def start(script: str, *words: str, tmp: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / script), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(tmp),
        cwd=tmp,
    )


def call(script: str, *words: str, tmp: Path) -> subprocess.CompletedProcess[str]:
    return warm.run(script, *words, cwd=tmp, environment=environment(tmp))


def train(*words: str, tmp: Path) -> subprocess.CompletedProcess[str]:
    return call("train.py", *TINY, *words, tmp=tmp)


def only_run(tmp: Path, seed: str = "seed=1337") -> Path:
    (folder,) = (tmp / "runs").glob(f"*/{seed}")
    return folder


def result(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    tmp = tmp_path_factory.mktemp("finished")
    process = start("train.py", *TINY, tmp=tmp)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, out + err
    return tmp, only_run(tmp), subprocess.CompletedProcess(process.args, 0, out, err)


def test_a_smoke_run_ends_certified_with_all_its_records(finished):
    tmp, folder, done = finished
    written = {path.name for path in folder.iterdir()}
    assert written >= {
        "config.yaml",
        "overrides",
        "metrics.jsonl",
        "train.log",
        "artifact.pgolf",
        "result.json",
        "certificate.json",
        "weights.pt",
    }
    facts = result(folder)
    assert facts["status"] == "finished" and facts["certificate"]["passed"]
    assert set(facts["scores"]) == {"dev", "prequant", "roundtrip", "final"}
    assert all(score["subset"] for score in facts["scores"].values() if score["split"] == "val")
    assert facts["scores"]["final"]["valid"] and facts["scores"]["final"]["split"] == "val"
    assert facts["artifact"]["bytes_total"] < 1_000_000
    assert [probe["letter"] for probe in facts["certificate"]["probes"]] == list("abcdefg")
    assert "certificate   passed" in done.stdout and "subset" in done.stdout
    (row,) = read_rows(tmp / "runs" / "experiments.csv")
    assert row["status"] == "finished"
    assert float(row["val_bpb_final"]) == pytest.approx(facts["scores"]["final"]["val_bpb"])


def test_the_log_holds_the_lines_that_other_tools_parse(finished):
    _, folder, _ = finished
    kinds = {record.kind for record in parse_log((folder / "train.log").read_text())}
    assert kinds >= {
        "seed",
        "world_size",
        "model_params",
        "train_step",
        "serialized_model",
        "submission_size",
        "final",
        "final_exact",
        "post_ema",
        "peak_memory",
        "artifact_hash",
    }


def test_every_step_is_in_the_metrics(finished):
    _, folder, _ = finished
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "train_loss" in line] == list(range(1, 21))


def test_the_loss_falls_and_the_score_beats_uniform_bytes(finished):
    _, folder, _ = finished
    losses = [
        json.loads(line)["train_loss"]
        for line in (folder / "metrics.jsonl").read_text().splitlines()
        if "train_loss" in line
    ]
    assert losses[-1] < losses[0]
    assert result(folder)["scores"]["final"]["val_bpb"] < 8


def test_eval_reproduces_the_final_score_from_the_artifact_alone(finished, tmp_path):
    tmp, folder, _ = finished
    out = tmp_path / "again.json"
    done = call(
        "eval.py",
        f"artifact={folder / 'artifact.pgolf'}",
        f"out={out}",
        "data=tiny",
        "size=tiny",
        "budget=smoke",
        "budget.subset_tokens=2048",
        f"cache_dir={tmp / '.cache'}",
        tmp=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    again = json.loads(out.read_text())
    assert again["score"]["val_bpb"] == pytest.approx(result(folder)["scores"]["final"]["val_bpb"], abs=1e-6)
    assert again["certificate"]["passed"]


@pytest.mark.gpu
def test_on_cuda_a_run_is_certified_and_a_cpu_scores_its_artifact_alike(tmp_path):
    scored = ["data=tiny", "size=tiny", "budget=smoke", "budget.subset_tokens=2048"]
    out, err = start("train.py", *TINY, "device=cuda", tmp=tmp_path).communicate(timeout=300)
    folder = only_run(tmp_path)
    facts, certificate = result(folder), json.loads((folder / "certificate.json").read_text())
    assert facts["status"] == "finished" and facts["certificate"]["passed"], out + err
    assert "seccomp" in json.dumps(certificate)
    found = {}
    for device in ("cuda", "cpu"):
        again = tmp_path / f"{device}.json"
        words = [f"artifact={folder / 'artifact.pgolf'}", f"out={again}", f"device={device}", *scored]
        said = start("eval.py", *words, tmp=tmp_path).communicate(timeout=300)
        found[device] = json.loads(again.read_text())["score"]["val_bpb"]
        assert json.loads(again.read_text())["certificate"]["passed"], said
    assert found["cuda"] == pytest.approx(facts["scores"]["final"]["val_bpb"], abs=1e-5)
    assert found["cpu"] == pytest.approx(found["cuda"], abs=1e-4)


@pytest.mark.slow  # test_rescore.py shows it without a process
def test_eval_prints_what_the_command_line_overrides(finished, tmp_path):
    tmp, folder, _ = finished
    done = call(
        "eval.py",
        f"artifact={folder / 'artifact.pgolf'}",
        f"out={tmp_path / 'o.json'}",
        "eval.window=48",
        "data=tiny",
        "size=tiny",
        "budget=smoke",
        "budget.subset_tokens=2048",
        f"cache_dir={tmp / '.cache'}",
        tmp=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "override eval: window 64 → 48" in done.stdout and "streaming 48/32" in done.stdout


def test_a_finished_run_is_not_overwritten_unasked_and_can_be_rerun_to_the_bit(finished):
    tmp, folder, _ = finished
    before = (folder / "result.json").read_text()
    refused = train(tmp=tmp)
    assert refused.returncode == 2
    assert "overwrite=true" in refused.stderr and "rerun=true" in refused.stderr and "Traceback" not in refused.stderr
    assert (folder / "result.json").read_text() == before
    again = train("rerun=true", tmp=tmp)
    assert again.returncode == 0, again.stderr
    assert result(folder.with_name("seed=1337.r2"))["artifact"]["sha256"] == result(folder)["artifact"]["sha256"]


def test_a_damaged_artifact_is_refused(finished, tmp_path):
    _, folder, _ = finished
    data = bytearray((folder / "artifact.pgolf").read_bytes())
    data[len(data) // 2] ^= 1
    broken = tmp_path / "broken.pgolf"
    broken.write_bytes(data)
    done = call("eval.py", f"artifact={broken}", tmp=tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr and "artifact" in done.stderr


def test_an_artifact_over_its_cap_keeps_the_run_and_exits_with_3(tmp_path):
    done = train("budget.cap_bytes=20000", *QUICK, tmp=tmp_path)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "over the 20,000 budget" in done.stdout and "over the cap" in done.stdout.partition("phases")[0]
    facts = result(only_run(tmp_path))
    assert facts["status"] == "over_cap" and facts["certificate"]["passed"]
    assert (only_run(tmp_path) / "artifact.pgolf").is_file()


def test_a_target_that_nothing_can_meet_is_refused_before_training(tmp_path):
    done = train("budget.cap_bytes=20000", "quant=fitted_gptq", tmp=tmp_path)
    assert done.returncode == 3 and "more than the 20,000 asked for" in done.stderr
    assert not list(tmp_path.glob("runs/*/*/weights.pt"))


def test_a_loss_that_is_no_number_stops_the_run_with_its_reason(tmp_path):
    done = train(*QUICK, "optimizer.embedding_lr=1e30", "optimizer.scalar_lr=1e30", tmp=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "the loss became nan" in done.stderr and "Traceback" not in done.stderr
    assert result(only_run(tmp_path))["status"] == "nan_loss"
    kept = torch.load(only_run(tmp_path) / "weights.pt", weights_only=True)["weights"]
    assert kept and all(torch.isfinite(value).all() for value in kept.values())
    (row,) = read_rows(tmp_path / "runs" / "experiments.csv")
    assert row["status"] == "nan_loss"


def test_ctrl_c_keeps_what_exists(tmp_path):
    words = [*TINY, *QUICK, "budget.train_steps=100000", "budget.train_seconds=200", "train.compile=never"]
    with (tmp_path / "log").open("w+b") as log:
        run = warm.start("train.py", *words, cwd=tmp_path, environment=environment(tmp_path), log=log)
        until(lambda: any("step" in path.read_text() for path in tmp_path.glob("runs/*/*/metrics.jsonl")), 240)
        os.kill(run.pid, signal.SIGINT)
        with run.stdin, run.stdout:
            run.stdout.read()
        status = run.wait(60)
    assert status == 130 and "Traceback" not in (tmp_path / "log").read_text()
    facts = result(only_run(tmp_path))
    assert (facts["status"], facts["reason"]) == ("interrupted", "stopped by Ctrl-C")
    assert (only_run(tmp_path) / "weights.pt").is_file()


def test_a_sweep_runs_every_value(tmp_path):
    done = call("train.py", "-m", *TINY, *QUICK, "seed=1,2", tmp=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (
        result(only_run(tmp_path, "seed=1"))["artifact"]["sha256"]
        != result(only_run(tmp_path, "seed=2"))["artifact"]["sha256"]
    )


@pytest.mark.parametrize(
    ("script", "words", "expected"),
    [
        ("train.py", ["arch=basline"], "Did you mean 'baseline'?"),
        ("train.py", ["quant.bits=12"], "quant.bits: 12 is out of range: from 2 to 8"),
        ("train.py", ["seed=abc"], "seed"),
        ("train.py", ["eval=sliding", "eval.stride=1000"], "eval.stride: 1000 is more than the window of 512"),
        ("train.py", ["size.heads=5"], "heads"),
        ("train.py", ["run_root=/dev/null/x"], "/dev/null"),
        ("train.py", ["data=text"], "data.paths"),
        ("eval.py", [], "artifact: which one?"),
        ("eval.py", ["artifact=/nowhere/a.pgolf"], "/nowhere/a.pgolf"),
        ("eval.py", ["artifact=x", "optimizer.matrix_lr=1"], "fixed by the artifact"),
    ],
)
def test_wrong_words_get_one_clear_message_and_exit_2(tmp_path, script, words, expected):
    done = call(script, *words, tmp=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert expected in done.stderr and "Traceback" not in done.stderr
