"""Ranks, devices, precision, compiler, seeds: decided by what the machine can do, refused with a reason."""

import random

import numpy as np
import pytest
import torch

from pgolf.core.errors import ConfigError
from pgolf.core.process import (
    Process,
    choose_device,
    choose_precision,
    find_compiler,
    seed_everything,
    share_threads,
    shown_precision,
    synchronise,
)

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture
def cuda(monkeypatch):
    """Set what torch says about CUDA: ``cuda(True)``."""
    return lambda there: monkeypatch.setattr(torch.cuda, "is_available", lambda: there)


def test_cuda_asked_for_and_absent_is_refused(cuda):
    cuda(False)
    with pytest.raises(ConfigError, match=r"device: cuda was asked for.*device=cpu or device=auto"):
        choose_device("cuda")
    assert choose_device("auto") == choose_device("cpu") == CPU


def test_auto_takes_cuda_and_the_local_rank_picks_the_device(cuda, monkeypatch):
    cuda(True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    for name in ("LOCAL_RANK", "SLURM_LOCALID"):
        monkeypatch.delenv(name, raising=False)
    assert choose_device("auto") == choose_device("cuda") == CUDA
    assert choose_device("cpu") == CPU
    monkeypatch.setenv("SLURM_LOCALID", "2")
    assert choose_device("auto") == torch.device("cuda", 2)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert choose_device("auto") == torch.device("cuda", 3)
    monkeypatch.setenv("LOCAL_RANK", "first")
    with pytest.raises(ConfigError, match="LOCAL_RANK='first'"):
        choose_device("auto")
    monkeypatch.setenv("LOCAL_RANK", "4")
    with pytest.raises(ConfigError, match=r"LOCAL_RANK=4 .* sees 4 CUDA devices"):
        choose_device("auto")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_device("auto") == CUDA, "a scheduler shows each task its own"


def test_an_apple_gpu_goes_through_the_same_choices(monkeypatch):
    with pytest.raises(ConfigError, match=r"device: mps was asked for.*device=cpu or device=auto"):
        choose_device("mps")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    mps = choose_device("mps")
    assert (mps.type, choose_device("auto")) == ("mps", CPU)
    assert choose_precision("auto", mps) is None and choose_precision("bf16", mps) is torch.bfloat16
    assert find_compiler(mps) is None
    assert synchronise(mps) is torch.mps.synchronize and synchronise(CPU)() is None


@pytest.mark.parametrize(
    ("wanted", "environment", "process", "there"),
    [
        (None, {}, Process(0, 1), 6),
        (4, {}, Process(0, 1), 4),
        (None, {}, Process(1, 2, 1, 2, "env://"), 3),
        (4, {"OMP_NUM_THREADS": "6"}, Process(1, 2, 1, 2, "env://"), 2),
        (None, {"OMP_NUM_THREADS": "6"}, Process(1, 2, 1, 2, "env://"), 6),
        (None, {"OMP_NUM_THREADS": "6"}, Process(0, 2, 0, 2, "file:///there"), 3),
        (None, {}, Process(9, 64, 1, 32, "env://"), 1),
    ],
)
def test_kernel_threads_are_shared_among_the_processes_of_a_machine(monkeypatch, wanted, environment, process, there):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(6)
        assert share_threads(wanted, process) == (wanted or 6)
        assert torch.get_num_threads() == there
    finally:
        torch.set_num_threads(before)


def test_fp16_is_refused_on_a_cpu():
    with pytest.raises(ConfigError, match=r"train\.precision: fp16 is refused on a CPU; bf16 or fp32"):
        choose_precision("fp16", CPU)
    assert choose_precision("fp16", CUDA) is torch.float16


@pytest.mark.parametrize("native", [True, False])
def test_auto_takes_bf16_exactly_where_the_hardware_has_it(monkeypatch, native):
    monkeypatch.setattr("pgolf.core.bfloat16.is_native", lambda device: native)
    assert choose_precision("auto", CPU) is (torch.bfloat16 if native else None)
    assert choose_precision("bf16", CPU) is torch.bfloat16
    assert choose_precision("fp32", CPU) is None


@pytest.mark.parametrize(
    ("precision", "native", "shown"),
    [
        (None, False, "fp32"),
        (torch.bfloat16, True, "bfloat16 autocast"),
        (torch.bfloat16, False, "bfloat16 autocast (not native here: train.precision=auto takes fp32)"),
        (torch.float16, False, "float16 autocast"),
    ],
)
def test_a_precision_the_processor_does_not_have_is_told(monkeypatch, precision, native, shown):
    monkeypatch.setattr("pgolf.core.bfloat16.is_native", lambda device: native)
    assert shown_precision(precision, CUDA) == shown


def test_without_a_compiler_on_the_path_there_is_none(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert find_compiler(CPU) is None
    assert find_compiler(CUDA) == "triton"


def test_the_compiler_named_by_cxx_comes_first(monkeypatch, tmp_path):
    for name in ("clang++", "g++", "own"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert find_compiler(CPU) == str(tmp_path / "g++")
    monkeypatch.setenv("CXX", "own")
    assert find_compiler(CPU) == str(tmp_path / "own")
    monkeypatch.setenv("CXX", "absent")
    assert find_compiler(CPU) == str(tmp_path / "g++")


def numbers(seed):
    seed_everything(seed)
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_one_seed_gives_the_same_numbers_in_all_three_generators():
    first, second, other = numbers(7), numbers(7), numbers(8)
    assert first == second
    assert all(a != b for a, b in zip(first, other, strict=True))


def test_seeds_beyond_32_bits_are_taken():
    assert numbers(2**32 + 7) == numbers(2**32 + 7)
