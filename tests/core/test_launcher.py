"""What torchrun and SLURM say is understood, and what contradicts itself is refused by the variable's name."""

import pytest

from pgolf.core.errors import ConfigError
from pgolf.core.launcher import FIRST_PORT, PORTS, process_facts
from pgolf.core.process import Process

TORCHRUN = {
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "10.0.0.1",
    "MASTER_PORT": "29500",
}
SRUN = {
    "SLURM_JOB_ID": "1234567",
    "SLURM_STEP_ID": "0",
    "SLURM_PROCID": "5",
    "SLURM_NTASKS": "7",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
    "SLURM_STEP_TASKS_PER_NODE": "4,3",
    "SLURM_STEP_NODELIST": "gpu[03-04]",
}
BATCH = {"SLURM_JOB_ID": "7", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NTASKS": "1"}


def without(facts, *names, **changed):
    return {name: value for name, value in (facts | changed).items() if name not in names}


@pytest.mark.parametrize(
    "environment",
    [
        {},
        BATCH,
        without(BATCH, "SLURM_PROCID", SLURM_NTASKS="8"),  # in an allocation (salloc), on the machine of its shell
        BATCH | {"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "4"},  # srun -n 1 of four
    ],
)
def test_a_plain_start_is_rank_0_of_1(environment):
    facts = process_facts(environment)
    assert (facts.rank, facts.world, facts.local_rank, facts.local_world) == (0, 1, 0, 1)


def test_torchrun_is_understood():
    assert process_facts(TORCHRUN) == Process(3, 4, 1, 2, "env://")
    assert process_facts({"RANK": "0", "WORLD_SIZE": "1"}).world == 1
    on_one_machine = without(TORCHRUN, "LOCAL_WORLD_SIZE", LOCAL_RANK="3")
    assert process_facts(on_one_machine) == Process(3, 4, 3, 4, "env://")


def test_torchrun_within_srun_is_torchrun():
    assert process_facts(SRUN | TORCHRUN) == process_facts(TORCHRUN)


def test_srun_is_understood_and_its_tasks_meet_on_the_first_node():
    facts = process_facts(SRUN)
    assert facts == Process(5, 7, 1, 3, f"tcp://gpu03:{FIRST_PORT + 1234567 % PORTS}")
    assert process_facts(SRUN | {"SLURM_STEP_ID": "1"}).meeting != facts.meeting, "two steps of a job do not meet"
    given = process_facts(SRUN | {"MASTER_ADDR": "elsewhere", "MASTER_PORT": "29501"})
    assert given.meeting == "tcp://elsewhere:29501"
    counted = without(SRUN, "SLURM_NTASKS", SLURM_STEP_NUM_TASKS="7")
    with pytest.raises(ConfigError, match="SLURM_NTASKS: missing"):
        process_facts(counted)


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("gpu03", "gpu03"), ("a1,a2", "a1"), ("n[7,9-11]-ib,m3", "n7-ib"), ("gpu[03-04,09],cpu1", "gpu03")],
)
def test_the_first_of_a_list_of_nodes(nodes, first):
    assert process_facts(SRUN | {"SLURM_STEP_NODELIST": nodes}).meeting.startswith(f"tcp://{first}:")


@pytest.mark.parametrize(
    ("tasks", "node", "local_rank", "local_world"),
    [("4(x2),3", "0", "3", 4), ("4(x2),3", "1", "2", 4), ("4(x2),3", "2", "2", 3), ("7", "0", "5", 7)],
)
def test_how_many_tasks_a_node_has(tasks, node, local_rank, local_world):
    told = {"SLURM_STEP_TASKS_PER_NODE": tasks, "SLURM_NODEID": node, "SLURM_LOCALID": local_rank}
    facts = process_facts(SRUN | told)
    assert (facts.local_rank, facts.local_world) == (int(local_rank), local_world)


def test_a_batch_script_without_srun_does_not_wait_for_tasks_that_do_not_exist():
    with pytest.raises(ConfigError, match=r"SLURM_NTASKS=8.*start it with srun, or ask for one task"):
        process_facts(BATCH | {"SLURM_NTASKS": "8"})


def test_the_environment_is_read_where_none_is_given(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ConfigError, match="RANK: missing in the environment beside WORLD_SIZE=8"):
        process_facts()


@pytest.mark.parametrize("value", ["", "one", "0.5"])
@pytest.mark.parametrize("name", ["RANK", "WORLD_SIZE"])
def test_a_rank_that_is_no_number_is_an_error_that_names_the_variable(name, value):
    with pytest.raises(ConfigError, match=rf"^{name}='{value}'.*whole number"):
        process_facts({name: value})


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (without(TORCHRUN, "RANK"), "RANK: missing in the environment beside WORLD_SIZE=4; torchrun sets"),
        (without(TORCHRUN, "WORLD_SIZE"), "WORLD_SIZE: missing in the environment beside RANK=3"),
        (without(TORCHRUN, "MASTER_ADDR", "MASTER_PORT"), "MASTER_ADDR, MASTER_PORT: missing"),
        (without(TORCHRUN, "LOCAL_RANK", "LOCAL_WORLD_SIZE"), "LOCAL_RANK: missing"),
        (TORCHRUN | {"MASTER_ADDR": ""}, "MASTER_ADDR: missing"),
        (TORCHRUN | {"RANK": "4"}, "RANK=4 .* out of range: from 0 to WORLD_SIZE - 1 = 3"),
        (TORCHRUN | {"RANK": "-1"}, "RANK=-1 .* out of range"),
        (TORCHRUN | {"WORLD_SIZE": "0", "RANK": "0"}, "WORLD_SIZE=0 .* at least 1"),
        (TORCHRUN | {"LOCAL_RANK": "2"}, "LOCAL_RANK=2 .* from 0 to LOCAL_WORLD_SIZE - 1 = 1"),
        (TORCHRUN | {"LOCAL_WORLD_SIZE": "8"}, "LOCAL_WORLD_SIZE=8 .* more than WORLD_SIZE=4"),
        (TORCHRUN | {"LOCAL_WORLD_SIZE": "two"}, "LOCAL_WORLD_SIZE='two'"),
        (without(SRUN, "SLURM_LOCALID"), "SLURM_LOCALID: missing in the environment beside SLURM_PROCID=5"),
        (without(SRUN, "SLURM_PROCID"), "SLURM_PROCID: missing"),
        (SRUN | {"SLURM_PROCID": "7"}, "SLURM_PROCID=7 .* from 0 to SLURM_NTASKS - 1 = 6"),
        (SRUN | {"SLURM_LOCALID": "3"}, "SLURM_LOCALID=3 .* out of range"),
        (SRUN | {"SLURM_LOCALID": "x"}, "SLURM_LOCALID='x'"),
        (SRUN | {"SLURM_NODEID": "2"}, "SLURM_NODEID=2 .* out of range"),
        (SRUN | {"SLURM_STEP_TASKS_PER_NODE": "4(2)"}, r"SLURM_STEP_TASKS_PER_NODE='4\(2\)'"),
        (without(SRUN, "SLURM_STEP_NODELIST"), "SLURM_STEP_NODELIST, SLURM_JOB_NODELIST: missing"),
        (SRUN | {"SLURM_STEP_NODELIST": "[1-2]"}, "SLURM_STEP_NODELIST='.1-2.'"),
        (without(SRUN, "SLURM_JOB_ID"), "SLURM_JOBID: missing"),
    ],
)
def test_what_contradicts_itself_or_is_half_set_is_refused_by_name(environment, message):
    with pytest.raises(ConfigError, match=message):
        process_facts(environment)
