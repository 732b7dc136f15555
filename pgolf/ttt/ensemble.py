"""Several adaptations beside each other that learn at different rates, and the mean of what they predict.

Formula: of members k = 1 … K, each ``of`` with the rate lr_k, ``p = (1/K)·Σ p_k`` (``mean: probability``), or
``p ∝ Π p_k^(1/K)`` (``logarithm``). Both rows sum to one, and cost no token more than the members do on average.
Source: an unused strategy of #687's evaluation script, three adapters of rank 4 at 0.0058, 0.01 and 0.0173 (spec ttt
§3.4). It took the mean of the members' losses: a geometric mean that sums to less than one, a code length that wastes
what is missing, here divided by its sum. The best of them for each token would be none at all.
Bytes: 1.0 kB of code beside ``of``'s. In memory and time: K times ``of``.
Hurts: by K times the time; rates that are a catastrophe alone still have their K-th of every row.

Shapes: B spans, K positions, V vocabulary.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.core.prediction import SIGNALS, Batch, Facts, Network, Rows, Stage, signals_of


class Ensemble:
    """See the module. ``of``: the node of another option, which has a rate."""

    neutral: ClassVar[bool] = False

    def __init__(
        self, *, of: Mapping[str, Any], lrs: Sequence[float], mean: Literal["probability", "logarithm"]
    ) -> None:
        """Raises ConfigError for no rates, and for an option without one."""
        if not isinstance(lrs, list | tuple) or not lrs:
            raise ConfigError(f"ttt.lrs: {lrs!r} is no list of rates, one for each member")
        if "lr" not in of:
            raise ConfigError(f"ttt.of: {of.get('_target_')} has no lr in which members could differ; ttt@ttt.of=lora")
        self.members = [make({**of, "lr": lr}) for lr in lrs]
        self.mean = mean

    @property
    def untie(self) -> bool:
        return bool(self.members[0].untie)

    def wrap(self, network: Network, facts: Facts) -> Network:
        """Raises ConfigError as ``of``."""
        return EnsembleNetwork([member.wrap(network, facts) for member in self.members], self.mean)

    def stages(self, facts: Facts) -> tuple[Stage, ...]:
        """Those of one member."""
        return tuple(self.members[0].stages(facts))


class EnsembleNetwork:
    """What is alike for all ``members`` is asked of the first."""

    def __init__(self, members: Sequence[Network], mean: Literal["probability", "logarithm"]) -> None:
        self.members, self.mean = list(members), mean

    @property
    def learns(self) -> bool:
        return self.members[0].learns

    @property
    def replayed(self) -> bool:
        return self.members[0].replayed

    @property
    def remembers(self) -> bool:
        return self.members[0].remembers

    @property
    def cadence(self) -> int | None:
        return self.members[0].cadence

    @property
    def offers(self) -> tuple[str, ...]:
        return self.members[0].offers

    @torch.inference_mode()
    def log_probs(self, batch: Batch, wanted: Sequence[str] = ()) -> Rows:
        first = self.members[0].log_probs(batch, [name for name in wanted if name not in SIGNALS])
        others = [member.log_probs(batch).logp_BKV for member in self.members[1:]]
        logp_BKV = self._mixed([first.logp_BKV, *others])
        return Rows(logp_BKV, signals_of(wanted, logp_BKV, first.signals))

    def observe(self, batch: Batch, tokens_BK: Tensor) -> None:
        for member in self.members:
            member.observe(batch, tokens_BK)

    def fork(self) -> EnsembleNetwork:
        twin = copy.copy(self)
        twin.members = [member.fork() for member in self.members]
        return twin

    def _mixed(self, logps: Sequence[Tensor]) -> Tensor:
        stacked = torch.stack(list(logps))
        if self.mean == "probability":
            return torch.logsumexp(stacked, 0) - math.log(len(logps))
        return F.log_softmax(stacked.mean(0), dim=-1)
