"""Whatever is wrong with the words of train.py and eval.py: one message in pgolf's own words, exit status 2."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pgolf.config.launch import _launch, may_sweep, primary_config, sorted_words
from pgolf.config.options import conf_dir
from tests import warm

ROOT = conf_dir().parent


def run(*words, flags=(), env=None):
    command = [sys.executable, *flags, *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ | (env or {}))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["notes=a=b"], "pgolf: notes=a=b: '=' at character 8 cannot stand there unquoted."),
        (["seed=1,2"], "pgolf: seed=1,2: several values are a sweep"),
        (["device=gpu"], "pgolf: device: 'gpu' is not one of auto, cpu, cuda"),
        (["quant.bits=${nope}"], "pgolf: quant.bits: Interpolation key 'nope' not found"),
        (["quant.bits=${by_size:5}"], "pgolf: quant.bits: by_size: 1 values"),
        (["notes='???'"], "pgolf: notes: Missing mandatory value"),
        (["-cd", "sweeps", "-cn", "sedes"], "pgolf: --config-name: no sedes.yaml in "),
        (["-cd", "sweps", "-cn=seeds"], "pgolf: --config-dir: there is no folder sweps"),
        (["-cd", "sweeps", "-cn", "ttt_rate", "ttt.rate=1"], "pgolf: ttt.rate: ttt takes chunk_tokens, "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_wrong_word_is_answered_before_hydra_sees_it(words, expected):
    done = run("train.py", *words)
    assert done.returncode == 2 and done.stderr.startswith(expected)
    assert "Traceback" not in done.stderr and "HYDRA_FULL_ERROR" not in done.stderr


@pytest.mark.parametrize("flags", [["--info", "config"], ["-i"], ["--experimental-rerun", "job.pickle"], ["-c", "job"]])
def test_values_of_hydras_flags_are_no_words(flags):
    assert sorted_words([*flags, "seed=2"]) == (["seed=2"], flags)


def test_what_only_shows_something_makes_no_folder(tmp_path):
    done = run("train.py", "--cfg", "job", f"run_root={tmp_path / 'runs'}")
    assert done.returncode == 0 and not (tmp_path / "runs").exists()


def test_print_model_makes_no_folder_and_a_run_does(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py"])
    for words, made in ((["print_model=true"], False), ([], True)):
        assert _launch(lambda: None, [*words, "size=tiny", f"run_root={tmp_path / 'runs'}"]) == 0
        assert (tmp_path / "runs").exists() == made


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["seed=1"], False),
        (["-m", "seed=1,2"], True),
        (["-cd", "sweeps", "-cn", "seeds"], True),
        (["--config-name=seeds"], True),
        (["hydra.mode=MULTIRUN", "seed=1,2"], True),
    ],
)
def test_what_may_sweep(argv, expected):
    assert may_sweep(argv) == expected


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], ("config", None)),
        (["-m"], ("config", None)),
        (["-cd", "sweeps"], ("config", None)),
        (["-cd", "sweeps", "-cn", "seeds"], ("seeds", Path("sweeps"))),
        (["--config-name=seeds.yaml", "--config-dir=sweeps", "-m"], ("seeds", Path("sweeps"))),
        (["-cn", "config"], ("config", conf_dir())),
        (["-cp", "elsewhere", "-cn", "config"], ("config", None)),
    ],
)
def test_what_hydra_composes_from(flags, expected, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert primary_config(flags) == expected


SWEEP = f"""
import hydra, sys
from pgolf.config.launch import launch, run_job
from pgolf.track.earlier import earlier
def job(cfg, words):
    print("seed", cfg["seed"], "ttt", cfg["ttt"].get("lr"), cfg["choices"]["ttt"])
    return 0.0, 0
@hydra.main(version_base="1.3", config_path={str(ROOT / "conf")!r}, config_name="config")
def main(cfg):
    return run_job(job, cfg, earlier)
sys.exit(launch(main, sys.argv[1:]))
"""


def test_a_range_sweeps_without_asserts_and_docstrings_too(tmp_path):
    words = ["size=tiny", "-m", "seed=range(1,3)", f"run_root={tmp_path}"]  # on either side of -m
    done = run("-c", SWEEP, *words, flags=["-OO"])
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.findall(r"^seed \d", done.stdout, re.MULTILINE) == ["seed 1", "seed 2"]


@pytest.mark.parametrize(("word", "values"), [("0.25", ["0.25"]), ("1,2", ["1", "2"]), ("range(1,3)", ["1", "2"])])
def test_a_setting_that_only_the_options_of_a_sweep_have_is_given_to_each(tmp_path, word, values):
    done = run("-c", SWEEP, "size=tiny", "-m", "ttt=sgd,dynamic", f"ttt.lr={word}", f"run_root={tmp_path}")
    assert done.returncode == 0, done.stderr
    expected = [(value, option) for option in ("sgd", "dynamic") for value in values]
    assert re.findall(r"ttt (\S+) (\w+)$", done.stdout, re.MULTILINE) == expected


@pytest.mark.slow  # compiles torch without docstrings where nobody has
def test_train_py_sweeps_a_range_without_asserts_and_docstrings_too(tmp_path):
    words = ["print_model=true", "size=tiny", "-m", "seed=range(1,3)", f"run_root={tmp_path}"]
    done = run("train.py", *words, flags=["-OO"])
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("baseline, size tiny: ") == 2


@pytest.mark.parametrize("script", [["train.py"], ["eval.py"], ["-m", "pgolf"], ["-m", "pgolf", "bundle"]])
def test_help_is_there_without_docstrings(script):
    done = run(*script, "--help", flags=["-OO"])
    assert done.returncode == 0 and len(done.stdout.split()) > 15 and "None" not in done.stdout.split()


def test_a_sweep_writes_below_the_home_folder(tmp_path):
    words = ["-m", "seed=1", "print_model=true", "size=tiny", "run_root='~/runs'"]
    (tmp_path / "here").mkdir()
    done = warm.run("train.py", *words, cwd=tmp_path / "here", environment=os.environ | {"HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "runs").is_dir() and not list((tmp_path / "here").iterdir())


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a: [", "one.yaml: while parsing"),
        (b"", "one.yaml: makes no run"),
        (b"\xff\xfe", "one.yaml: 'utf-8' codec"),
        (
            b"defaults: [config, _self_]\nhydra: {mode: MULTIRUN, sweeper: {params: {seed: 'interval(1,2)'}}}",
            "seed: only a search draws from an interval",
        ),
    ],
)
def test_a_broken_primary_config_is_one_message(tmp_path, content, expected):
    (tmp_path / "one.yaml").write_bytes(content)
    done = run("train.py", "-cd", str(tmp_path), "-cn", "one", f"run_root={tmp_path / 'runs'}")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and expected in done.stderr
