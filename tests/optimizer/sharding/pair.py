"""A few steps of one small model with each sharding, by one process and by two; run once for all tests that look."""

from __future__ import annotations

import contextlib
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch

from pgolf.core.make import make
from pgolf.hook.checkpoint import Checkpoint
from pgolf.train.checkpoints import PARTS, Checkpoints, of_rank
from pgolf.train.replicas import ALONE
from tests.helpers import tiny_settings
from tests.ranks import Forked, replicas
from tests.train.rig import rig

OPTIONS = ("replicated", "index", "banks", "row_blocks")
STEPS, CLIP = 5, 0.02  # which is below every step's norm


def trainer_with(option: str, found: Any, steps: int = STEPS) -> Any:
    """Three layers: three matrices of a kind, which two processes cannot have in equal numbers."""
    trainer = rig(steps=steps, accumulation=2 // found.world, words=("arch.layers=3",), replicas=found)
    words = ("optimizer.ns_dtype=float32", f"optimizer/sharding={option}", "optimizer/normalize=normuon")
    trainer.optimizer = make(tiny_settings(*words)["optimizer"], model=trainer.model)
    trainer.plan = type(trainer.plan)(100.0, steps, trainer.plan.accumulation, CLIP, None)
    return trainer


def run(option: str, found: Any) -> dict[str, Any]:
    """Weights, losses and which parameters this process keeps a momentum of; and a run stopped after two steps and
    taken up by another trainer."""
    trainer = trainer_with(option, found)
    result = trainer.fit()
    losses = [event.facts["train_loss"] for event in trainer.listeners[0].of("step")]
    held = trainer.optimizer.state()["muon"]["state"]
    half = trainer_with(option, found)
    half.optimizer.zero_grad()
    while half.step < 2:
        half._step()
    again = trainer_with(option, found)
    again.restore(half.state())
    while again.step < STEPS:
        again._step()
    return {
        "weights": dict(result.state),
        "losses": losses,
        "held": {place: kept["momentum_buffer"].clone() for place, kept in held.items()},
        "again": {name: value.clone() for name, value in again.model.state_dict().items()},
        "taken_up": killed_and_taken_up(option, found),
        "matrices": sum(len(group["params"]) for group in trainer.optimizer.muon.param_groups),
    }


class Killed(BaseException):
    """As SIGKILL: nothing is written any more."""


def killed_and_taken_up(option: str, found: Any) -> dict[str, Any]:
    """Weights of a run that dies in its fourth step and goes on from a file of rank 0's; what was in that; its words.

    The other process has no folder."""
    trainer = trainer_with(option, found)
    trainer.folder = Path(tempfile.mkdtemp(prefix="pgolf-test-kept-")) if found.rank == 0 else None
    trainer.hooks.insert(0, Checkpoint(every_seconds=1.0, keep=2))
    honest, calls = trainer.loss, iter(range(3 * trainer.plan.accumulation))

    def until_then(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        if next(calls, None) is None:
            raise Killed
        return honest(x, y)

    trainer.loss = until_then
    with contextlib.suppress(Killed):
        trainer.fit()
    saved = Checkpoints(trainer.folder).newest(print) if trainer.folder else None
    state = found.shared(saved.state if saved else None)
    again = trainer_with(option, found)
    again.hooks.insert(0, Checkpoint(every_seconds=1.0, keep=2))
    result = again.fit(of_rank(state, found.rank))
    words = [event.text for event in trainer.listeners[0].of("checkpoint")]
    return {"weights": dict(result.state), "from": state["step"], "parts": len(state.get(PARTS, ())), "words": words}


@cache
def alone() -> dict[str, dict[str, Any]]:
    return {option: run(option, ALONE) for option in OPTIONS}


@cache
def together() -> list[dict[str, dict[str, Any]]]:
    """By rank."""
    torch.manual_seed(0)
    meeting = Path(tempfile.mkdtemp(prefix="pgolf-test-ranks-")) / "meeting"
    join = replicas(silence_seconds=60.0)
    answers = Forked(lambda found: {o: run(o, found) for o in OPTIONS}, meeting, join=join).answers()
    assert all(isinstance(answer, dict) for answer in answers), answers
    return answers


def check_equal_to_one_process(option: str) -> None:
    expected = alone()[option]
    for found in together():
        torch.testing.assert_close(found[option]["losses"], expected["losses"], rtol=0, atol=1e-5)
        for name, value in expected["weights"].items():
            torch.testing.assert_close(found[option]["weights"][name], value, rtol=0, atol=1e-5)


def check_replicas_have_the_same_bits(option: str) -> None:
    first, second = (found[option]["weights"] for found in together())
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def check_taken_up_to_the_bit(option: str) -> None:
    for found in together():
        for name, value in found[option]["again"].items():
            assert torch.equal(value, found[option]["weights"][name]), name


def check_killed_and_taken_up_to_the_bit(option: str) -> None:
    for found in together():
        taken_up = found[option]["taken_up"]
        assert taken_up["from"] == 3 and taken_up["parts"] == (0 if option == "replicated" else 2)
        for name, value in taken_up["weights"].items():
            assert torch.equal(value, found[option]["weights"][name]), name
    said = together()[0][option]["taken_up"]["words"][-1]
    assert ("is not kept: each process has a part" in said) == (option != "replicated")


def check_each_matrix_has_its_momentum_once(option: str) -> None:
    held = [set(found[option]["held"]) for found in together()]
    count = alone()[option]["matrices"]
    assert not held[0] & held[1] and held[0] | held[1] == set(range(count))
    assert abs(len(held[0]) - len(held[1])) < count / 2
