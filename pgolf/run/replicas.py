"""Training in several processes: who they are, who starts them, and how all of them end.

torchrun and srun start them all. Without, ``train.processes`` has this process start the others on its machine, by
the road of an import of their own: a process forked from one that has computed inherits locks and threads of OpenMP
that are not there. Rank 0 alone keeps a run's record, and scores and certifies it; the others train and wait for how it
ends, which is how they end.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import torch

import pgolf
from pgolf.config.readonly import thaw
from pgolf.core.command import complain
from pgolf.core.errors import ConfigError, RankLost, UserError
from pgolf.core.launcher import process_facts
from pgolf.core.process import Process, choose_device
from pgolf.core.signals import HEEDED
from pgolf.run import stages
from pgolf.run.recorder import Recorder
from pgolf.run.resume import TRAINED
from pgolf.train.checkpoints import of_rank
from pgolf.train.group import together
from pgolf.train.pace import refuse_out_of_reach, timed
from pgolf.train.replicas import ALONE, Replicas, micro_steps

READY = b"ready\n"
FOLLOWER = "from pgolf.run.replicas import be_follower; be_follower()"
_PATIENCE_SECONDS = 10.0  # for a process to end by itself
_started_together = False  # torchrun's processes meet once


def trains_in(cfg: Mapping[str, Any]) -> Process:
    """This process of those that will train ``cfg``.

    Raises ConfigError where what started it contradicts ``train.processes``, or they could not share the work.
    """
    process, wanted, train = process_facts(), cfg["train"].get("processes"), cfg["train"]
    if process.world == 1 and wanted:
        process = Process(0, wanted, 0, wanted)
    elif wanted and wanted != process.world:
        raise ConfigError(
            f"train.processes: {wanted}, but what started this process says {process.world}; leave it out there"
        )
    micro = micro_steps(train["accumulation"], process.world)
    if process.world > 1 and train["batch_tokens"] % max(1, process.world * micro * train["window"]):
        raise ConfigError(
            f"train.batch_tokens: {train['batch_tokens']} is no multiple of processes × accumulation × window = "
            f"{process.world} × {micro} × {train['window']}; train.accumulation={train['accumulation']} is that of one "
            "process"
        )
    if process.world > 1:
        _check_devices(choose_device(cfg["device"]), process)
    return process


def _check_devices(device: torch.device, process: Process) -> None:
    """Raises ConfigError where processes would share a device."""
    if device.type == "mps":
        raise ConfigError(f"device: mps is one device, and {process.world} processes would share it; take one process")
    started_here = not process.meeting  # torchrun and srun know their machines
    if device.type == "cuda" and started_here and (devices := torch.cuda.device_count()) < process.world:
        raise ConfigError(
            f"train.processes: {process.world}, and torch sees {devices} CUDA devices here, where each process "
            "wants one; fewer processes, or device=cpu, whose cores they share"
        )


@contextmanager
def replicas_of(cfg: Mapping[str, Any]) -> Iterator[Replicas]:
    """The processes that train ``cfg``, as long as the block lasts.

    Raises RankLost where one of them does not come.
    """
    global _started_together
    process = trains_in(cfg)
    if process.world == 1:
        yield ALONE
        return
    device = choose_device(cfg["device"])
    if process.meeting:
        if _started_together:
            raise ConfigError("train: torchrun and srun start the processes of one run; a sweep takes train.processes")
        _started_together = True
        with together(process, device) as replicas:
            yield replicas
        return
    with _followers(cfg, process) as process, together(process, device) as replicas:
        yield replicas


@contextmanager
def _followers(cfg: Mapping[str, Any], process: Process) -> Iterator[Process]:
    """Start ranks 1, 2, … here. They end with this process, whatever ends it; their errors go where its errors go."""
    folder = Path(tempfile.mkdtemp(prefix="pgolf-ranks-"))
    meeting = f"file://{folder}/meeting"
    started: list[subprocess.Popen[bytes]] = []
    try:
        for rank in range(1, process.world):
            started.append(
                subprocess.Popen(
                    [sys.executable, "-c", FOLLOWER],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env=_environment(cfg, rank),
                )
            )
            order = pickle.dumps((thaw(cfg), Process(rank, process.world, rank, process.world, meeting)))
            _send(started[-1], order)
        for rank, follower in enumerate(started, start=1):
            assert follower.stdout is not None
            if follower.stdout.readline() != READY:
                raise RankLost(f"rank {rank} has ended before it began, with status {follower.wait(_PATIENCE_SECONDS)}")
        yield Process(0, process.world, 0, process.world, meeting)
        for follower in started:  # they have said that they end
            with contextlib.suppress(subprocess.TimeoutExpired):
                follower.wait(_PATIENCE_SECONDS)
    finally:
        for follower in started:
            follower.kill()
            follower.wait()
            for pipe in (follower.stdin, follower.stdout):
                assert pipe is not None
                with contextlib.suppress(OSError):
                    pipe.close()
        shutil.rmtree(folder, ignore_errors=True)


def _environment(cfg: Mapping[str, Any], rank: int) -> dict[str, str]:
    """The follower's. Its threads are those of all processes together, of which ``share_threads`` takes its part."""
    place = str(Path(pgolf.__file__).resolve().parent.parent)
    path = os.pathsep.join(filter(None, (place, os.environ.get("PYTHONPATH", ""))))
    threads = cfg["train"]["threads"] or torch.get_num_threads()
    return {**os.environ, "PYTHONPATH": path, "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": str(threads)}


def _send(follower: subprocess.Popen[bytes], order: bytes) -> None:
    assert follower.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it says nothing then, which is noticed
        follower.stdin.write(len(order).to_bytes(8, "big") + order)
        follower.stdin.flush()


def be_follower() -> NoReturn:
    """The main function of a process that ``_followers`` has started."""
    for number in HEEDED:  # a terminal signals all; this one ends with its starter
        signal.signal(number, signal.SIG_IGN)
    say, hear = os.fdopen(os.dup(1), "wb"), sys.stdin.buffer
    os.dup2(2, 1)
    cfg, process = pickle.loads(hear.read(int.from_bytes(hear.read(8), "big")))

    def end_with_starter() -> None:
        hear.read()  # nothing comes; it ends when the starter does
        shutil.rmtree(Path(process.meeting.removeprefix("file://")).parent, ignore_errors=True)
        os._exit(RankLost.exit_status)

    threading.Thread(target=end_with_starter, daemon=True).start()
    status = RankLost.exit_status
    try:
        say.write(READY)
        say.flush()
        with together(process, choose_device(cfg["device"])) as replicas:
            status = follow(cfg, replicas)
    except RankLost:
        pass  # rank 0 tells
    except UserError as error:
        complain(error)
        status = error.exit_status
    except BaseException:
        sys.excepthook(*sys.exc_info())
    sys.stderr.flush()
    os._exit(status)


def follow(cfg: Mapping[str, Any], replicas: Replicas) -> int:
    """Train beside rank 0, keep nothing, wait for its end and return its exit status. Raises UserError."""
    recorder = Recorder(replicas.shared(None), replicas.process)  # with what an earlier process has decided
    recorder.replicas = replicas
    dataset = stages.prepare(recorder)
    with stages.validation_closed(recorder, dataset):
        trainer = stages.build(recorder, dataset)
        if cfg["dry_run"]:
            timed(trainer)
        else:
            refuse_out_of_reach(trainer)
            state = replicas.shared(None)
            if state != TRAINED:
                stages.fit(recorder, trainer, None if state is None else of_rank(state, replicas.rank))
        trainer.loader.close()
    if recorder.device.type == "cuda":
        torch.cuda.empty_cache()  # rank 0 scores on it
    return replicas.told(0)
