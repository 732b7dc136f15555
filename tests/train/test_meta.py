"""A whole step happens on the training device: with every tensor on ``meta`` a hidden one on the CPU is seen.

On ``meta`` nothing has a value, so the two places that read one, the loss of the record and whether weights are
finite, are left out; everything between them is what ``Trainer._step`` does.
"""

import contextlib

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pgolf.averaging.ema import EMA
from pgolf.core.make import make
from pgolf.train.replicas import ALONE
from tests.helpers import tiny_settings
from tests.train.rig import rig

META = torch.device("meta")


class Elsewhere(TorchDispatchMode):
    """``found``: operations whose result lies elsewhere, AdamW's count of steps apart, which is a host's number."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor) and tensor.device != META and not self._counts(tensor):
                self.found.append(f"{function}: {tensor.device}, {tuple(tensor.shape)}")
        return out

    @staticmethod
    def _counts(tensor):
        return tensor.ndim == 0 and tensor.dtype == torch.float32


def on_meta(words, optimizer, hooks):
    trainer = rig(words=words)
    trainer.model.to(META)
    trainer.device = META
    trainer.optimizer = make(tiny_settings(*optimizer)["optimizer"], model=trainer.model)
    trainer.hooks = list(hooks)
    trainer.average = trainer.model.state_dict
    batch = tuple(t.to(META) for t in trainer.loader.next_batch())
    trainer.loader.next_batch = lambda: batch
    return trainer


def step(trainer):
    loss = trainer._accumulate(None)
    trainer.optimizer.average(ALONE, trainer.parameters, [loss], 0.3)
    trainer.optimizer.step(1.0, 0.5)
    trainer.step += 1
    for hook in trainer.hooks:
        hook.after_step(trainer)
    return loss


@pytest.fixture(autouse=True)
def no_autocast(monkeypatch):
    """It knows no meta device; precision is no place of tensors."""
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: contextlib.nullcontext())
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *args: False)


@pytest.mark.parametrize(
    ("words", "optimizer"),
    [
        ((), ()),
        (("arch=parallel_recur",), ("optimizer/normalize=normuon", "optimizer/sharding=row_blocks")),
        (("arch=pr1204",), ("optimizer/decay=cautious", "optimizer/orthogonal=polar_express")),
        (("arch=pr1026",), ("optimizer=adamw",)),
        (("arch=mamba_hybrid",), ("optimizer=sgd",)),
    ],
)
def test_every_tensor_of_a_step_is_where_training_is(words, optimizer):
    trainer = on_meta(words, optimizer, [EMA(decay=0.9)])
    for hook in trainer.hooks:
        hook.at_start(trainer)
    with Elsewhere() as elsewhere:
        for _ in range(2):
            loss = step(trainer)
    assert loss.device == META and not elsewhere.found
    state = [t for t in tree_leaves(trainer.optimizer.state()) if isinstance(t, torch.Tensor) and t.ndim]
    assert state and all(t.device == META for t in [*state, *trainer.hooks[0].shadow.values()])


@pytest.mark.parametrize("place", ["loss", "optimizer", "hook"])
def test_a_tensor_made_on_the_cpu_is_seen(place):
    trainer = on_meta((), (), [EMA(decay=0.9)])
    trainer.hooks[0].at_start(trainer)
    with Elsewhere() as elsewhere, contextlib.suppress(RuntimeError):
        if place == "loss":
            honest = trainer.loss
            trainer.loss = lambda x, y: honest(x, y) * torch.ones(3).mean()
        elif place == "optimizer":
            trainer.optimizer.muon.update.normalizer.before = lambda u: u * torch.arange(2.0)[1]
        else:
            trainer.hooks[0].after_step = lambda t: torch.zeros(2)
        step(trainer)
    assert elsewhere.found
