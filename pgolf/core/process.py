"""Who and where this process is: the one module that knows about ranks, devices and processor abilities.

What depends on the machine is decided here by capability and written into the run's record (style 6).
"""

from __future__ import annotations

import os
import random
import resource
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pgolf.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Process:
    """Rank and world as torchrun sets them; a plain start is rank 0 of 1."""

    rank: int
    world: int


def _whole_number(env: Mapping[str, str], name: str, default: int) -> int:
    """An environment variable as an integer. Raises ConfigError naming it where it is none."""
    try:
        return int(env.get(name, default))
    except ValueError as error:
        raise ConfigError(f"{name}={env[name]!r} in the environment: a whole number is wanted") from error


def process_facts(environment: Mapping[str, str] | None = None) -> Process:
    """Read RANK and WORLD_SIZE. Raises ConfigError for more than one process: training is single-process so far.

    Raises it too where one of them is no whole number.
    """
    env = os.environ if environment is None else environment
    facts = Process(rank=_whole_number(env, "RANK", 0), world=_whole_number(env, "WORLD_SIZE", 1))
    if facts.world > 1:
        raise ConfigError(f"WORLD_SIZE={facts.world}: this version trains in one process; start it without torchrun")
    return facts


def choose_device(wanted: str) -> torch.device:
    """``auto`` takes CUDA where it is. Raises ConfigError where ``cuda`` is asked for and absent, or where
    LOCAL_RANK, which picks the device, is no whole number."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device: cuda was asked for, but torch sees no CUDA device here; device=cpu or device=auto")
    if wanted == "cuda" or (wanted == "auto" and torch.cuda.is_available()):
        return torch.device("cuda", _whole_number(os.environ, "LOCAL_RANK", 0))
    return torch.device("cpu")


def bf16_is_native(device: torch.device) -> bool:
    """Whether this device multiplies bf16 matrices in hardware."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    try:
        with open("/proc/cpuinfo") as handle:
            flags = next((line for line in handle if line.startswith(("flags", "Features"))), "")
    except OSError:
        return False
    return any(word in flags.split() for word in ("avx512_bf16", "amx_bf16", "bf16"))


def choose_precision(wanted: str, device: torch.device) -> torch.dtype | None:
    """The autocast dtype, None for plain fp32. fp16 is refused on a CPU (hundreds of times slower)."""
    if wanted == "fp16":
        if device.type == "cpu":
            raise ConfigError("train.precision: fp16 is refused on a CPU; bf16 or fp32")
        return torch.float16
    if wanted == "bf16" or (wanted == "auto" and bf16_is_native(device)):
        return torch.bfloat16
    return None


def find_compiler(device: torch.device) -> str | None:
    """The C++ compiler ``torch.compile`` would use on a CPU (CUDA brings its own), or None."""
    if device.type == "cuda":
        return "triton"
    return next(
        (path for name in (os.environ.get("CXX", "g++"), "g++", "clang++") if (path := shutil.which(name))),
        None,
    )


@contextmanager
def one_kernel_thread() -> Iterator[None]:
    """Inside, a kernel runs on one thread: its bits depend on no number of cores, and it waits for nobody.

    Threads that begin inside take it over; those that were there before do not.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def peak_memory(device: torch.device) -> tuple[int, int]:
    """Bytes (allocated, reserved) at their highest: of the GPU, or this process's resident memory on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device), torch.cuda.max_memory_reserved(device)
    resident = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return resident, resident


def free_memory(device: torch.device) -> int | None:
    """Bytes that a process could still take there, within its control group too; None where nobody says."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    found = []
    with suppress(OSError, ValueError, StopIteration), open("/proc/meminfo") as handle:
        found.append(1024 * int(next(line for line in handle if line.startswith("MemAvailable")).split()[1]))
    with suppress(OSError, ValueError):
        most, used = (int(Path("/sys/fs/cgroup", name).read_text()) for name in ("memory.max", "memory.current"))
        found.append(most - used)
    return min(found, default=None)


def hardware_name(device: torch.device) -> str:
    """A short description for records: the GPU's name, or the processor's with its core count."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    model = "CPU"
    try:
        with open("/proc/cpuinfo") as handle:
            model = next((line.split(":", 1)[1].strip() for line in handle if line.startswith("model name")), model)
    except OSError:
        pass
    return f"{os.cpu_count()} × {model}"
