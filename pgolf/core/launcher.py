"""Which of how many processes this is, as whoever started it says: torchrun, SLURM's srun, or nobody.

torchrun says so in RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE and MASTER_ADDR, MASTER_PORT, where the processes
meet. srun says SLURM_PROCID, SLURM_NTASKS, SLURM_LOCALID; they meet on the step's first node, at a port that follows
from the job's number, unless MASTER_ADDR and MASTER_PORT are set. torchrun within srun (one for each node) is
torchrun. A batch script that calls python without srun is one process, and an allocation of several tasks is none.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from pgolf.core.errors import ConfigError
from pgolf.core.process import Process, whole_number

FIRST_PORT, PORTS = 15_000, 15_000  # where jobs of SLURM meet; ports below are taken, those above short-lived


def process_facts(environment: Mapping[str, str] | None = None) -> Process:
    """Raises ConfigError for variables that are no numbers, contradict each other, or of which others are missing."""
    env = os.environ if environment is None else environment
    if "RANK" in env or "WORLD_SIZE" in env:
        return _torchrun(env)
    step = "SLURM_STEP_ID" in env or "SLURM_STEPID" in env
    rank, world = whole_number(env, "SLURM_PROCID", 0), _tasks(env)
    if step or rank:
        return _srun(env)
    if "SLURM_PROCID" in env and world > 1:  # a batch script's own process: the others do not exist
        raise ConfigError(
            f"SLURM_NTASKS={world} in the environment, but this process was not started by srun; start it with srun, "
            "or ask for one task (--ntasks=1)"
        )
    return Process(rank=0, world=1)


def _tasks(env: Mapping[str, str]) -> int:
    return whole_number(env, "SLURM_STEP_NUM_TASKS" if "SLURM_STEP_NUM_TASKS" in env else "SLURM_NTASKS", 1)


def _torchrun(env: Mapping[str, str]) -> Process:
    rank, world = whole_number(env, "RANK", 0), whole_number(env, "WORLD_SIZE", 1)
    _wanted(env, "torchrun", "RANK", "WORLD_SIZE")
    _in_range("RANK", rank, "WORLD_SIZE", world)
    local_rank, local_world = whole_number(env, "LOCAL_RANK", rank), whole_number(env, "LOCAL_WORLD_SIZE", world)
    _in_range("LOCAL_RANK", local_rank, "LOCAL_WORLD_SIZE", local_world)
    if local_world > world:
        raise ConfigError(f"LOCAL_WORLD_SIZE={local_world} in the environment is more than WORLD_SIZE={world}")
    if world > 1:
        _wanted(env, "torchrun", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    return Process(rank, world, local_rank, local_world, "env://")


def _srun(env: Mapping[str, str]) -> Process:
    rank, world = whole_number(env, "SLURM_PROCID", 0), _tasks(env)
    if world > 1 or rank:
        _wanted(env, "srun", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID")
    _in_range("SLURM_PROCID", rank, "SLURM_NTASKS", world)
    local_rank, local_world = whole_number(env, "SLURM_LOCALID", 0), _on_this_node(env, world)
    _in_range("SLURM_LOCALID", local_rank, "SLURM_TASKS_PER_NODE", local_world)
    meeting = f"tcp://{_address(env)}:{_port(env)}" if world > 1 else ""
    return Process(rank, world, local_rank, local_world, meeting)


def _wanted(env: Mapping[str, str], by: str, *names: str) -> None:
    missing = [name for name in names if not env.get(name)]
    if missing:
        there = ", ".join(f"{name}={env[name]}" for name in names if name in env and name not in missing)
        raise ConfigError(
            f"{', '.join(missing)}: missing in the environment{f' beside {there}' if there else ''}; {by} sets all of "
            f"{', '.join(names)}"
        )


def _in_range(name: str, number: int, of: str, count: int) -> None:
    if count < 1:
        raise ConfigError(f"{of}={count} in the environment is out of range: at least 1")
    if not 0 <= number < count:
        raise ConfigError(f"{name}={number} in the environment is out of range: from 0 to {of} - 1 = {count - 1}")


def _on_this_node(env: Mapping[str, str], world: int) -> int:
    """``SLURM_STEP_TASKS_PER_NODE=4(x2),3`` says 4 for each of the first two nodes and 3 for the next."""
    name = "SLURM_STEP_TASKS_PER_NODE" if "SLURM_STEP_TASKS_PER_NODE" in env else "SLURM_TASKS_PER_NODE"
    told = env.get(name)
    if told is None:
        return world
    counts: list[int] = []
    for part in told.split(","):
        found = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part.strip())
        if found is None:
            raise ConfigError(f"{name}={told!r} in the environment: numbers of tasks such as 4(x2),3 are wanted")
        counts += [int(found[1])] * int(found[2] or 1)
    node = whole_number(env, "SLURM_NODEID", 0)
    if not 0 <= node < len(counts):
        raise ConfigError(f"SLURM_NODEID={node} in the environment is out of range: {name}={told!r}")
    return counts[node]


def _address(env: Mapping[str, str]) -> str:
    """The first node: ``gpu[03-06,9]`` begins with gpu03."""
    if env.get("MASTER_ADDR"):
        return env["MASTER_ADDR"]
    for name in ("SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST"):
        if env.get(name):
            found = re.match(r"([^,\[]+)(?:\[(\d+)[^\]]*\]([^,\[]*))?", env[name])
            if found is None:
                raise ConfigError(f"{name}={env[name]!r} in the environment: a list of nodes is wanted")
            return "".join(part or "" for part in found.groups())
    raise ConfigError(
        "SLURM_STEP_NODELIST, SLURM_JOB_NODELIST: missing in the environment; where several tasks meet is told by one "
        "of them, or by MASTER_ADDR"
    )


def _port(env: Mapping[str, str]) -> int:
    if env.get("MASTER_PORT"):
        return whole_number(env, "MASTER_PORT", 0)
    name = "SLURM_JOB_ID" if "SLURM_JOB_ID" in env else "SLURM_JOBID"
    _wanted(env, "srun", name)
    step = whole_number(env, "SLURM_STEP_ID" if "SLURM_STEP_ID" in env else "SLURM_STEPID", 0)
    return FIRST_PORT + (whole_number(env, name, 0) + 97 * step) % PORTS
