"""Ranks, devices, precision, compiler, seeds: decided by what the machine can do, refused with a reason."""

import random

import numpy as np
import pytest
import torch

from pgolf.core.errors import ConfigError
from pgolf.core.process import (
    Process,
    bf16_is_native,
    choose_device,
    choose_precision,
    find_compiler,
    process_facts,
    seed_everything,
)

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture
def cuda(monkeypatch):
    """Set what torch says about CUDA: ``cuda(True)``."""
    return lambda there: monkeypatch.setattr(torch.cuda, "is_available", lambda: there)


def test_a_plain_start_is_rank_0_of_1():
    assert process_facts({}) == process_facts({"RANK": "0", "WORLD_SIZE": "1"}) == Process(0, 1)


def test_the_environment_is_read_where_none_is_given(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "8")
    with pytest.raises(ConfigError, match="WORLD_SIZE=8"):
        process_facts()


def test_more_than_one_process_is_refused_with_the_way_out():
    with pytest.raises(ConfigError, match=r"WORLD_SIZE=2: .* one process; start it without torchrun"):
        process_facts({"RANK": "1", "WORLD_SIZE": "2"})


@pytest.mark.parametrize("value", ["", "one", "0.5"])
@pytest.mark.parametrize("name", ["RANK", "WORLD_SIZE"])
def test_a_rank_that_is_no_number_is_an_error_that_names_the_variable(name, value):
    with pytest.raises(ConfigError, match=rf"^{name}='{value}'.*whole number"):
        process_facts({name: value})


def test_cuda_asked_for_and_absent_is_refused(cuda):
    cuda(False)
    with pytest.raises(ConfigError, match=r"device: cuda was asked for.*device=cpu or device=auto"):
        choose_device("cuda")
    assert choose_device("auto") == choose_device("cpu") == CPU


def test_auto_takes_cuda_and_the_local_rank_picks_the_device(cuda, monkeypatch):
    cuda(True)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert choose_device("auto") == choose_device("cuda") == CUDA
    assert choose_device("cpu") == CPU
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert choose_device("auto") == torch.device("cuda", 3)
    monkeypatch.setenv("LOCAL_RANK", "first")
    with pytest.raises(ConfigError, match="LOCAL_RANK='first'"):
        choose_device("auto")


def test_fp16_is_refused_on_a_cpu():
    with pytest.raises(ConfigError, match=r"train\.precision: fp16 is refused on a CPU; bf16 or fp32"):
        choose_precision("fp16", CPU)
    assert choose_precision("fp16", CUDA) is torch.float16


@pytest.mark.parametrize("native", [True, False])
def test_auto_takes_bf16_exactly_where_the_hardware_has_it(monkeypatch, native):
    monkeypatch.setattr("pgolf.core.process.bf16_is_native", lambda device: native)
    assert choose_precision("auto", CPU) is (torch.bfloat16 if native else None)
    assert choose_precision("bf16", CPU) is torch.bfloat16
    assert choose_precision("fp32", CPU) is None


@pytest.mark.parametrize(
    ("flags", "native"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_bf16", True),
        ("flags\t\t: fpu amx_bf16 amx_tile", True),
        ("Features\t: fp asimd bf16", True),
        ("flags\t\t: fpu avx2 avx512f", False),
        ("model name\t: bf16 in the name only", False),
    ],
)
def test_a_processors_own_flags_say_whether_bf16_is_native(monkeypatch, tmp_path, flags, native):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\n{flags}\n")
    monkeypatch.setattr("pgolf.core.process.open", lambda path: cpuinfo.open(), raising=False)
    assert bf16_is_native(CPU) is native


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
