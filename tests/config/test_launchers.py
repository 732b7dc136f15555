"""Jobs of a sweep beside each other: each its part of the cores, each to its own log, each counted."""

import os
import re
import subprocess
import sys
from importlib import util

import pytest

from pgolf.config import launch
from pgolf.config.launch import require_launcher
from pgolf.config.options import conf_dir
from pgolf.config.sweeping import at_once, share_cores
from pgolf.core.errors import ConfigError
from pgolf.core.threads import cores

JOBS = f"""
import hydra, os, sys
from pgolf.config.launch import launch, run_job
from pgolf.core.errors import RunError
from pgolf.track.earlier import earlier
def job(cfg, words):
    print("said by", cfg["seed"])
    if cfg["seed"] == 2:
        raise RunError("no room on the disk")
    return float(os.environ["OMP_NUM_THREADS"]), 0
@hydra.main(version_base="1.3", config_path={str(conf_dir())!r}, config_name="config")
def main(cfg):
    return run_job(job, cfg, earlier)
sys.exit(launch(main, sys.argv[1:]))
"""


def test_a_launcher_that_is_not_there_is_named_with_what_to_install(monkeypatch):
    require_launcher(["hydra/launcher=basic", "seed=1"])
    monkeypatch.setattr(launch, "find_spec", lambda name: None if "submitit" in name else util.find_spec(name))
    with pytest.raises(ConfigError, match=r"pip install 'pgolf\[slurm\]'"):
        require_launcher(["hydra/launcher=submitit_slurm"])
    with pytest.raises(ConfigError, match="Did you mean 'joblib'"):
        require_launcher(["hydra/launcher=job_lib"])


def test_jobs_beside_each_other_share_the_cores_unless_told_otherwise(monkeypatch):
    assert at_once({"_target_": "basic"}) == 1 and at_once({"n_jobs": 3}) == 3 and at_once({"n_jobs": -1}) == cores()
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    share_cores(2)
    assert os.environ["OMP_NUM_THREADS"] == "7"
    monkeypatch.delenv("OMP_NUM_THREADS")
    share_cores(10_000)
    assert os.environ["OMP_NUM_THREADS"] == "1"


@pytest.mark.slow  # starts processes of joblib and submitit; what they are told: above
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_parallel_jobs_tell_a_line_each_and_their_status_counts(launcher, tmp_path):
    pytest.importorskip(f"hydra_plugins.hydra_{launcher.partition('_')[0]}_launcher")
    words = ["-m", f"hydra/launcher={launcher}", "size=tiny", "seed=1,2,3", f"run_root={tmp_path}"]
    words += ["hydra.launcher.n_jobs=2"] if launcher == "joblib" else []
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", JOBS, *words], cwd=conf_dir().parent, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 2, done.stderr[-2000:]
    assert "said by" not in done.stdout and "sweep: 3 jobs: 2 finished, 1 failed" in done.stdout
    assert "failed: job 2, seed=2: no room on the disk" in done.stdout
    if launcher == "joblib":
        lines = [line for line in done.stdout.splitlines() if line.startswith("job ")]
        assert len(lines) == 3 and any(
            re.fullmatch(r"job 1 of 3.*: seed=1: finished: dev \d\.0000", line) for line in lines
        )
