"""Who and where this process is: the one module that knows about ranks and devices; ``bfloat16`` about its products.

What depends on the machine is decided here by capability and written into the run's record (style 6).
"""

from __future__ import annotations

import os
import random
import resource
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pgolf.core import bfloat16
from pgolf.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Process:
    """``rank`` of ``world``, and ``local_rank`` of the ``local_world`` on this machine; a plain start is 0 of 1.

    ``meeting``: where they find each other, as ``torch.distributed`` has it.
    """

    rank: int
    world: int
    local_rank: int = 0
    local_world: int = 1
    meeting: str = ""


def whole_number(env: Mapping[str, str], name: str, default: int) -> int:
    """An environment variable as an integer. Raises ConfigError naming it where it is none."""
    try:
        return int(env.get(name, default))
    except ValueError as error:
        raise ConfigError(f"{name}={env[name]!r} in the environment: a whole number is wanted") from error


def choose_device(wanted: str) -> torch.device:
    """``auto`` takes CUDA where it is. Raises ConfigError for a device that is asked for and absent, or where
    LOCAL_RANK (srun: SLURM_LOCALID), which picks it, is no whole number or says more than there are.

    ``mps``, an Apple processor's GPU, goes through the same choices and has never been run.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device: cuda was asked for, but torch sees no CUDA device here; device=cpu or device=auto")
    if wanted == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("device: mps was asked for, but torch sees no Metal device here; device=cpu or device=auto")
    if wanted == "cuda" or (wanted == "auto" and torch.cuda.is_available()):
        return torch.device("cuda", _place_of_device())
    return torch.device("mps" if wanted == "mps" else "cpu")


def _place_of_device() -> int:
    name = next((name for name in ("LOCAL_RANK", "SLURM_LOCALID") if name in os.environ), "LOCAL_RANK")
    place, there = whole_number(os.environ, name, 0), torch.cuda.device_count()
    if there == 1:
        return 0  # a scheduler that lets each task see one GPU, its own
    if not 0 <= place < there:
        raise ConfigError(f"{name}={place} in the environment: torch sees {there} CUDA devices here")
    return place


def synchronise(device: torch.device) -> Callable[[], None]:
    """What waits until all that is queued on ``device`` is done."""
    waits: dict[str, Callable[[], None]] = {"cuda": torch.cuda.synchronize, "mps": torch.mps.synchronize}
    return waits.get(device.type, lambda: None)


def choose_precision(wanted: str, device: torch.device) -> torch.dtype | None:
    """The autocast dtype, None for plain fp32. fp16 is refused on a CPU (hundreds of times slower)."""
    if wanted == "fp16":
        if device.type == "cpu":
            raise ConfigError("train.precision: fp16 is refused on a CPU; bf16 or fp32")
        return torch.float16
    if wanted == "bf16" or (wanted == "auto" and bfloat16.is_native(device)):
        return torch.bfloat16
    return None


def shown_precision(precision: torch.dtype | None, device: torch.device) -> str:
    """An autocast dtype in words, with a hint where ``device`` does not multiply it itself."""
    if precision is None:
        return "fp32"
    emulated = precision is torch.bfloat16 and not bfloat16.is_native(device)
    hint = " (not native here: train.precision=auto takes fp32)" if emulated else ""
    return f"{str(precision).removeprefix('torch.')} autocast{hint}"


def find_compiler(device: torch.device) -> str | None:
    """The C++ compiler ``torch.compile`` would use on a CPU (CUDA brings its own), or None."""
    if device.type == "cuda":
        return "triton"
    if device.type == "mps":
        return None  # torch's compiler for Metal is a prototype
    return next(
        (path for name in (os.environ.get("CXX", "g++"), "g++", "clang++") if (path := shutil.which(name))),
        None,
    )


def share_threads(wanted: int | None, process: Process) -> int:
    """Let kernels use ``wanted`` threads, as many as the machine has where that is None, shared among the processes
    that train here; returns all of them.

    Where the environment says how many a process has, as torchrun's does, that is taken as it is.
    """
    threads = wanted or torch.get_num_threads()
    told = wanted is None and "OMP_NUM_THREADS" in os.environ and not process.meeting.startswith("file:")
    if wanted or process.local_world > 1:
        torch.set_num_threads(threads if told else max(1, threads // process.local_world))
    return threads


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
    if device.type == "mps":  # which knows no highest
        return torch.mps.current_allocated_memory(), torch.mps.driver_allocated_memory()
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
