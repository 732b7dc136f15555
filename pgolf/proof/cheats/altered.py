"""Common ground of the cheats that alter the network's rows, and the modifiers they run under. Not a cheat itself."""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pgolf.core.prediction import Batch, Network, Rows
from pgolf.core.protocols import Tokenizer
from pgolf.eval.evaluation import Evaluation

_SLOW_SECONDS = 0.002
_ONE_IN = 50


def _everywhere(batch: Batch, targets: int) -> Tensor:
    return torch.ones(len(batch.blocks), batch.keep, dtype=torch.bool)


def _slow(batch: Batch, targets: int) -> Tensor:
    time.sleep(_SLOW_SECONDS)
    return _everywhere(batch, targets)


def _late(batch: Batch, targets: int) -> Tensor:
    positions_BK = torch.stack([torch.arange(block.start, block.stop) for block in batch.blocks])
    return positions_BK >= targets // 2


def _interior(batch: Batch, targets: int) -> Tensor:
    inside_BK = _everywhere(batch, targets)
    inside_BK[:, [0, -1]] = False
    return inside_BK


def _conditional(batch: Batch, targets: int) -> Tensor:
    input_BK = batch.inputs_BT[:, -batch.keep :]
    return (input_BK + 7 * torch.arange(batch.keep)) % _ONE_IN == 0


MODIFIERS: Mapping[str, Callable[[Batch, int], Tensor]] = {
    "plain": _everywhere,
    "slow": _slow,
    "late": _late,
    "interior": _interior,
    "conditional": _conditional,
}
"""Where a cheat cheats: [B, K] of a batch, in a stream with so many targets."""


class Alteration:
    """What a cheat does to rows of probabilities; it may remember what it was shown, in arrays and dictionaries."""

    learns = False

    def __init__(self, vocab_size: int) -> None:
        self.vocab_size = vocab_size

    def read(self, tokenizer: Tokenizer) -> None:
        """What it wants to know of the tokens, told before anything else."""

    def rows(self, p_BKV: Tensor, batch: Batch) -> Tensor:
        raise NotImplementedError

    def observe(self, batch: Batch, tokens_BK: Tensor) -> None: ...


class Altered:
    """The honest network, its rows altered where the modifier says so."""

    def __init__(self, network: Network, alteration: Alteration, modifier: str, targets: int) -> None:
        self.network, self.alteration = network, alteration
        self.modifier, self.targets = modifier, targets
        self.offers: tuple[str, ...] = network.offers
        self.cadence, self.replayed = network.cadence, network.replayed
        self.learns, self.remembers = network.learns or alteration.learns, network.remembers

    def log_probs(self, batch: Batch, wanted: Sequence[str] = ()) -> Rows:
        rows = self.network.log_probs(batch, wanted)
        p_BKV = rows.logp_BKV.exp()
        here_BK = MODIFIERS[self.modifier](batch, self.targets)
        other_BKV = self.alteration.rows(p_BKV, batch)
        return Rows(torch.where(here_BK.unsqueeze(-1), other_BKV, p_BKV).clamp(min=1e-30).log(), rows.signals)

    def observe(self, batch: Batch, tokens_BK: Tensor) -> None:
        self.network.observe(batch, tokens_BK)
        self.alteration.observe(batch, tokens_BK)

    def fork(self) -> Altered:
        twin = type(self.alteration)(self.alteration.vocab_size)
        for name, value in vars(self.alteration).items():
            setattr(twin, name, copy.deepcopy(value) if isinstance(value, np.ndarray | dict) else value)
        return Altered(self.network.fork(), twin, self.modifier, self.targets)


class _Wrapping:
    """A ``ttt`` technique, of all places: there a network is wrapped for a stream whose length is known."""

    def __init__(self, inner: Any, around: Callable[[Network, Any], Network]) -> None:
        self.inner, self.around = inner, around

    @property
    def untie(self) -> bool:
        return self.inner.untie

    def wrap(self, network: Network, facts: Any) -> Network:
        return self.around(self.inner.wrap(network, facts), facts)

    def stages(self, facts: Any) -> Any:
        return self.inner.stages(facts)


def wrapped(evaluation: Evaluation, around: Callable[[Network, Any], Network]) -> Evaluation:
    """``evaluation`` with ``around`` its network, given that and the facts."""
    return dataclasses.replace(evaluation, ttt=_Wrapping(evaluation.ttt, around))


def altered(evaluation: Evaluation, *, alteration: type[Alteration], modifier: str) -> Evaluation:
    def around(network: Network, facts: Any) -> Network:
        made = alteration(facts.vocab_size)
        made.read(evaluation.tokenizer)
        return Altered(network, made, modifier, facts.targets)

    return wrapped(evaluation, around)
