"""The U-Net over layers that every topology builds: embedding, visits with skips, tied and capped head.

Shapes: B batch, T time, D model, V vocab.

``x = n(E[ids]); x0 = x``; encoder visits push their output, decoder visits add ``w_j ⊙ pop()`` first;
``logits = c·tanh(n(x)Eᵀ/c)``. Source: spec arch §2. Loss, logits and adaptation run through one forward
path. Sites of the model are listed in ``pgolf.arch.addons``, those of a block in ``pgolf.arch.block``.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pgolf.arch.addons import ModelFacts, Placement
from pgolf.arch.block import Block, Context, Controls, Layer
from pgolf.arch.dims import Dims
from pgolf.arch.head_loss import capped_cross_entropy
from pgolf.arch.lanes.form import Lanes, Stream
from pgolf.arch.part import Linear, Part, param_specs, rms_norm
from pgolf.arch.recurrence.form import Activation, Recurrence
from pgolf.arch.visits import Visit
from pgolf.config.make import make
from pgolf.core.errors import ConfigError
from pgolf.core.results import ParamSpec


@dataclass(frozen=True, slots=True)
class HeadFacts:
    """``softcap``: largest magnitude of a logit. ``tied``: the embedding table scores the words."""

    softcap: float
    tied: bool


class UNet(Part):
    """``layers`` are the physical layers; the other arguments are config nodes, built here."""

    embedding: nn.Parameter
    skip_weights: nn.Parameter

    def __init__(
        self,
        dims: Dims,
        layers: Sequence[Layer],
        head: HeadFacts,
        *,
        init: Mapping[str, Any],
        recurrence: Mapping[str, Any],
        lanes: Mapping[str, Any],
        addons: Mapping[str, Mapping[str, Any]],
    ) -> None:
        super().__init__()
        self.dims, self.softcap = dims, head.softcap
        self.recurrence: Recurrence = make(recurrence, layers=len(layers))
        self.schedules = {s.name: s for s in self.recurrence.schedules()}
        self.active = next(iter(self.schedules))
        self.lanes: Lanes = make(lanes, dims=dims)
        self.lanes.check(self.schedules, len(layers))
        table = torch.empty(dims.vocab_size, dims.width)
        self.declare("embedding", table, group="embedding", storage="embedding", component="embedding")
        self.layers = nn.ModuleList(layers)
        attending = tuple(
            i for i, layer in enumerate(layers) if getattr(layer.mixer, "qk_gain", None) is not None
        )
        facts = ModelFacts(self.schedules, attending, head.tied)
        self.controls = nn.ModuleDict(
            {key: Controls(dims, layers[v.physical]) for key, v in facts.visits.items()}
        )
        self.declare_control("skip_weights", torch.ones(facts.skips, dims.width), component="skip")
        self.addons = Placement(addons, dims, facts)
        self.head = None if head.tied else _untied_head(dims)
        self.own_mlps = nn.ModuleDict(self._own_mlps(layers))
        make(init).apply(self)

    def _own_mlps(self, layers: Sequence[Layer]) -> dict[str, nn.Module]:
        """The MLPs of repeated visits that do not share all matrices with their layer, zero until activation."""
        found: dict[str, nn.Module] = {}
        for schedule in self.schedules.values():
            for visit in schedule.visits:
                kind, shared = self.recurrence.own_mlp(visit), layers[visit.physical].mlp
                if kind == "none" or shared is None:
                    continue
                own = copy.deepcopy(shared)
                if kind == "down":
                    if not isinstance(getattr(own, "up", None), nn.Module):
                        raise ConfigError(
                            "arch.recurrence: untying 'down' needs an MLP with separate up and down matrices"
                        )
                    own.up = shared.up
                found[own_mlp_key(visit)] = own
        return found

    def own_weights(self) -> list[tuple[nn.Parameter, nn.Parameter]]:
        """(own, shared) pairs of the untied MLP parameters of repeated visits."""
        pairs = []
        for schedule in self.schedules.values():
            for visit in schedule.visits:
                if own_mlp_key(visit) in self.own_mlps:
                    shared = dict(self.layers[visit.physical].mlp.named_parameters())
                    own = self.own_mlps[own_mlp_key(visit)].named_parameters()
                    pairs += [(p, shared[name]) for name, p in own if p is not shared[name]]
        return pairs

    @torch.no_grad()
    def activate(self, name: str) -> None:
        """Make the schedule ``name`` the one that forward passes run.

        Where repeated visits own MLPs, those start as copies of their layer's at this moment (spec arch §8.3).
        """
        if name not in self.schedules:
            raise ConfigError(f"arch: no schedule {name!r}; there are {', '.join(self.schedules)}")
        self.active = name
        for own, shared in self.own_weights():
            own.copy_(shared)

    def activations(self) -> tuple[Activation, ...]:
        """When which schedule becomes active in training."""
        return self.recurrence.activations()

    def block(self, visit: Visit) -> Block:
        """The block of one visit."""
        layer, key = self.layers[visit.physical], own_mlp_key(visit)
        mlp = self.own_mlps[key] if key in self.own_mlps else layer.mlp  # noqa: SIM401 - a ModuleDict has no get
        controls, sites = self.controls[visit.key], self.addons.block_sites[visit.key]
        return Block(visit, layer, mlp, controls, sites)  # type: ignore[arg-type]

    def embed(self, ids_BT: Tensor) -> Tensor:
        """The stream's start x0: embedded, passed through the front-end addons, normed."""
        x_BTD = F.embedding(ids_BT, self.embedding)
        for part in self.addons.model_sites["embedding"]:
            x_BTD = part(x_BTD, ids_BT)
        x_BTD = rms_norm(x_BTD)
        for part in self.addons.model_sites["stream"]:
            x_BTD = part(x_BTD, ids_BT)
        return x_BTD

    def trunk(self, ids_BT: Tensor, targets_BT: Tensor | None) -> tuple[Tensor, Context]:
        """The normed final stream x_BTD and the context of this pass; everything else goes through here."""
        context = Context(ids_BT, self.embed(ids_BT), targets_BT)
        for part in self.addons.model_sites["prepare"]:
            part(context)
        stream: Stream = (context.x0_BTD,)
        stack: list[Tensor] = []
        popped = 0
        for visit in self.schedules[self.active].visits:
            if visit.restart:
                stream, stack, popped = tuple(rms_norm(x) for x in stream), [], 0
            stream = tuple(self.recurrence.before_visit(visit, x, context) for x in stream)
            if visit.half == "decoder" and stack:
                stream = self._skip(stream, stack.pop(), popped)
                popped += 1
            stream = self.lanes.run(self.block(visit), stream, context)
            stream = tuple(self.recurrence.after_visit(visit, x, context, self) for x in stream)
            if visit.half == "encoder":
                assert len(stream) == 1, "lanes began in the encoder half"
                stack.append(stream[0])
        return rms_norm(self.lanes.merge(stream)), context

    def _skip(self, stream: Stream, skip_BTD: Tensor, index: int) -> Stream:
        weighted = self.skip_weights[index] * skip_BTD
        parts = self.addons.model_sites["skip"]
        if parts:
            return self.lanes.add_skip(stream, lambda x_BTD: parts[-1](x_BTD, weighted, index))
        return self.lanes.add_skip(stream, lambda x_BTD: x_BTD + weighted)

    def hidden(self, ids_BT: Tensor) -> Tensor:
        """The normed final stream x_BTD for token ids (int64 [B, T])."""
        return self.trunk(ids_BT, None)[0]

    def logits(self, ids_BT: Tensor, keep: int | None = None) -> Tensor:
        """Capped logits of the next token, fp32 [B, T, V], or [B, keep, V] for the last ``keep`` positions."""
        x_BTD = self.hidden(ids_BT)
        return self.project(x_BTD if keep is None else x_BTD[:, -keep:])

    def project(self, x_BTD: Tensor) -> Tensor:
        """From hidden states to capped logits: ``c·tanh(xEᵀ/c)`` in fp32."""
        raw = F.linear(x_BTD, self.output_table).float()
        return self.softcap * torch.tanh(raw / self.softcap)

    @property
    def output_table(self) -> Tensor:
        """The matrix [V, D] that scores words: the embedding itself, or the untied head's."""
        return self.embedding if self.head is None else self.head.weight

    def loss(self, ids_BT: Tensor, targets_BT: Tensor) -> Tensor:
        """Mean cross-entropy in nats per target (fp32 scalar); in training mode plus the auxiliary losses."""
        x_BTD, context = self.trunk(ids_BT, targets_BT if self.training else None)
        loss = self.word_loss(x_BTD, targets_BT)
        if self.training:
            for part in self.addons.model_sites["output"]:
                part(x_BTD, context)
            for auxiliary in context.auxiliary:
                loss = loss + auxiliary
        return loss

    def word_loss(self, x_BTD: Tensor, targets_BT: Tensor) -> Tensor:
        """Mean cross-entropy (nats) of the head's words on normed hidden states."""
        return capped_cross_entropy(
            x_BTD.flatten(0, 1), self.output_table, targets_BT.flatten(), self.softcap
        )

    def param_specs(self) -> dict[str, ParamSpec]:
        """Optimizer group, storage role and component of every parameter, shared ones once."""
        return param_specs(self)

    def aliases(self) -> dict[str, str]:
        """Further state-dict names of shared parameters, each with the name it is stored under."""
        owners: dict[int, str] = {}
        found: dict[str, str] = {}
        for name, parameter in self.named_parameters(remove_duplicate=False):
            owner = owners.setdefault(id(parameter), name)
            if owner != name:
                found[name] = owner
        return found


def own_mlp_key(visit: Visit) -> str:
    """Names the MLP a repeated visit owns: by (physical, visit), whatever its controls are keyed by."""
    return f"{visit.physical}_{visit.number}"


def _untied_head(dims: Dims) -> Linear:
    head = Linear(dims.width, dims.vocab_size, "head")
    head.specs["weight"] = ParamSpec(group="head", storage="embedding", component="head")
    nn.init.zeros_(head.weight)
    return head
