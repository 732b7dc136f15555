"""The U-Net over layers that every topology builds: embedding, visits with skips, tied and capped head.

Shapes: B batch, T time, D model, V vocab.

``x = n(E[ids]); x0 = x``; encoder visits push their output, decoder visits add ``w_j ⊙ pop()`` first;
``logits = c·tanh(n(x)Eᵀ/c)``. Source: spec arch §2. Loss, logits and adaptation run through one forward
path. Sites of the model are listed in ``pgolf.arch.addon.base``, those of a block in ``pgolf.arch.block``.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pgolf.arch.addon.base import Addon, ModelOutline
from pgolf.arch.addon.placement import Placement
from pgolf.arch.base import Linear, Part, param_specs, rms_norm
from pgolf.arch.block import Block, Controls, ForwardContext, Layer
from pgolf.arch.combine import check_combination
from pgolf.arch.dims import Dims
from pgolf.arch.head_loss import capped_cross_entropy
from pgolf.arch.lanes.base import Lanes, ResidualStream
from pgolf.arch.recurrence.base import Activation, Recurrence
from pgolf.arch.visits import Route, Visit
from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.core.results import ParamSpec


@dataclass(frozen=True, slots=True)
class HeadFacts:
    """``softcap``: largest magnitude of a logit. ``tied``: the embedding table scores the words."""

    softcap: float
    tied: bool


class UNet(Part):
    """``layers`` are the physical layers; the other arguments are config nodes, built here."""

    alone = True

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
        self.recurrence: Recurrence = make(recurrence, dims=dims)
        self.routes = {s.name: s for s in self.recurrence.routes()}
        self.active = next(iter(self.routes))
        self.terms: Sequence[nn.Module] = ()  # no modules of this one: training alone knows them
        self.lanes: Lanes = make(lanes, dims=dims)
        # Specifications hold no parameters: they are made before anything random is drawn, to be checked together.
        specifications: dict[str, Addon] = {name: make(node) for name, node in addons.items()}
        check_combination(self.lanes, specifications)
        self.lanes.check(self.routes, len(layers))
        table = torch.empty(dims.vocab_size, dims.width)
        self.declare("embedding", table, group="embedding", storage="embedding", component="embedding")
        self.layers = nn.ModuleList(layers)
        outline = _outline(self.routes, layers)
        # Controls and skips are there for every route from the start, though only one is active: a switch in
        # mid-training must find the optimizer, the averages and the compiled graphs as they were.
        self.controls = nn.ModuleDict(
            {
                key: Controls(dims, [layers[v.physical] for v in outline.sharing(visit)])
                for key, visit in outline.visits.items()
            }
        )
        self.declare_control("skip_weights", torch.ones(outline.skips, dims.width), component="skip")
        self.addons = Placement(specifications, dims, outline)
        self.head = None if head.tied else _untied_head(dims)
        self.own_mlps = nn.ModuleDict(self._own_mlps(layers))
        self.own_layers = nn.ModuleDict()  # filled by pgolf.arch.untie
        # An initialiser sees the whole model, so it comes last; own weights rest only then, as it would fill them.
        make(init).apply(self)
        self._rest_own_weights()

    def _own_mlps(self, layers: Sequence[Layer]) -> dict[str, nn.Module]:
        """The MLPs of repeated visits that do not share all matrices with their layer, zero until activation."""
        found: dict[str, nn.Module] = {}
        for route in self.routes.values():
            for visit in route.visits:
                kind, shared = self.recurrence.own_mlp(visit), layers[visit.physical].mlp
                if kind == "none" or shared is None:
                    continue
                found[own_mlp_key(visit)] = _own_mlp(shared, kind)
        return found

    def own_weights(self, keys: Collection[str] | None = None) -> list[tuple[nn.Parameter, nn.Parameter]]:
        """(own, shared) pairs of the untied MLP parameters of repeated visits; only of ``keys`` where given."""
        owners = {own_mlp_key(v): v.physical for s in self.routes.values() for v in s.visits}
        pairs = []
        for key, own in self.own_mlps.items():
            if keys is None or key in keys:
                shared = dict(self.layers[owners[key]].mlp.named_parameters())
                pairs += [(p, shared[name]) for name, p in own.named_parameters() if p is not shared[name]]
        return pairs

    @torch.no_grad()
    def _rest_own_weights(self) -> None:
        """Own weights are zero until a route that visits them is active (spec arch §8.3)."""
        for own, _ in self.own_weights():
            own.zero_()
        self._start_own_weights({own_mlp_key(v) for v in self.route.visits})

    @torch.no_grad()
    def _start_own_weights(self, keys: Collection[str]) -> dict[str, str]:
        names = {id(p): name for name, p in self.named_parameters()}
        pairs = self.own_weights(keys)
        for own, shared in pairs:
            own.copy_(shared)
        return {names[id(own)]: names[id(shared)] for own, shared in pairs}

    def use(self, name: str) -> None:
        """Make ``name`` the route that forward passes run; no weight changes. For weights that were trained."""
        if name not in self.routes:
            raise ConfigError(f"arch: no route {name!r}; there are {', '.join(self.routes)}")
        self.active = name

    def activate(self, name: str) -> dict[str, str]:
        """The switch of training: ``use(name)``, and the MLPs owned by visits that it adds start as copies.

        Returns the names of the parameters written, each with the name it was copied from (spec arch §8.3).
        """
        before = {own_mlp_key(v) for v in self.route.visits}
        self.use(name)
        return self._start_own_weights({own_mlp_key(v) for v in self.routes[name].visits} - before)

    @property
    def route(self) -> Route:
        """The active route."""
        return self.routes[self.active]

    def activations(self) -> tuple[Activation, ...]:
        """When which route becomes active in training."""
        return self.recurrence.activations()

    def block(self, visit: Visit) -> Block:
        """The block of one visit."""
        key = own_mlp_key(visit)
        layer = self.own_layers[key] if key in self.own_layers else self.layers[visit.physical]
        mlp = self.own_mlps[key] if key in self.own_mlps else layer.mlp  # noqa: SIM401 - a ModuleDict has no get
        controls, sites = self.controls[visit.key], self.addons.block_sites[visit.key]
        return Block(visit, layer, mlp, controls, sites)  # type: ignore[arg-type]

    def embed(self, ids_BT: Tensor, names: Sequence[str] = (), told: dict[str, Tensor] | None = None) -> Tensor:
        """The stream's start x0: embedded, passed through the front-end addons, normed; into ``told`` what these tell
        of ``names``."""
        x_BTD = F.embedding(ids_BT, self.embedding)
        for part in self.parts_at("embedding"):
            if told is not None and isinstance(part, Part):
                told |= {name: part.tell(name, x_BTD) for name in names if name in part.tells}
            x_BTD = part(x_BTD, ids_BT)
        x_BTD = rms_norm(x_BTD)
        for part in self.parts_at("stream"):
            x_BTD = part(x_BTD, ids_BT)
        return x_BTD

    def trunk(
        self, ids_BT: Tensor, targets_BT: Tensor | None, names: Sequence[str] = ()
    ) -> tuple[Tensor, ForwardContext]:
        """The normed final stream x_BTD and the context of this pass; everything else goes through here.

        ``names``: of what is to be told of the embedding.
        """
        told: dict[str, Tensor] = {}
        context = ForwardContext(ids_BT, self.embed(ids_BT, names, told if names else None), targets_BT, told=told)
        for part in self.parts_at("prepare"):
            part(context)
        stream: ResidualStream = (context.x0_BTD,)
        stack: list[Tensor] = []
        popped = 0
        for visit in self.route.visits:
            if visit.norm:
                stream = tuple(rms_norm(x) for x in stream)
            if visit.restart:
                stack, popped = [], 0
            # The stack and not the half decides: a decoder that is longer than its encoder runs out of skips.
            if visit.half == "decoder" and stack:
                stream = self._skip(stream, stack.pop(), popped, visit)
                popped += 1
            # Parts and matrices are shared by visits; only this tells them which visit is running.
            context.visit = visit
            stream = self.recurrence.before_visit(visit, stream, context)
            stream = self.lanes.run(self.block(visit), stream, context)
            stream = self.recurrence.after_visit(visit, stream, context, self)
            # Pushed after the recurrence has had its say, so that a skip carries what the next block reads.
            if visit.half == "encoder":
                assert len(stream) == 1, "lanes began in the encoder half"
                context.encoder_BTD = stream[0]
                stack.append(stream[0])
        return rms_norm(self.lanes.merge(stream)), context

    def _skip(self, stream: ResidualStream, skip_BTD: Tensor, index: int, visit: Visit) -> ResidualStream:
        weighted = self.skip_weights[index] * skip_BTD
        parts = self.parts_at("skip")
        if parts:
            return self.lanes.add_skip(stream, lambda x_BTD: parts[-1](x_BTD, weighted, index), visit)
        return self.lanes.add_skip(stream, lambda x_BTD: x_BTD + weighted, visit)

    def parts_at(self, site: str) -> Sequence[nn.Module]:
        """The addon parts at a site of the model, in order."""
        return self.addons.model_sites[site]

    def hidden(self, ids_BT: Tensor) -> Tensor:
        """The normed final stream x_BTD for token ids (int64 [B, T])."""
        return self.trunk(ids_BT, None)[0]

    def widths(self) -> dict[str, int]:
        """Of what ``hidden_and`` gives: ``mlp_in``, the normed input of the last MLP, and what parts tell."""
        found = {"mlp_in": self.dims.width} if any(self.block(v).mlp is not None for v in self.route.visits) else {}
        for part in (*self._telling("embedding"), *self._telling("output")):
            found |= part.tells
        return found

    def _telling(self, site: str) -> list[Part]:
        return [part for part in self.parts_at(site) if isinstance(part, Part)]

    def hidden_and(self, ids_BT: Tensor, names: Sequence[str]) -> tuple[Tensor, dict[str, Tensor]]:
        """``hidden``, and of the same pass the vectors of these ``names``, [B, T, W]."""
        x_BTD, context = self.trunk(ids_BT, None, names)
        found = context.told
        for part in self._telling("output"):
            found |= {name: part.tell(name, x_BTD) for name in names if name in part.tells}
        if "mlp_in" in names:
            assert context.mlp_in_BTD is not None
            found["mlp_in"] = context.mlp_in_BTD
        return x_BTD, found

    def logits(self, ids_BT: Tensor, keep: int | None = None) -> Tensor:
        """Capped logits of the next token, fp32 [B, T, V], or [B, keep, V] for the last ``keep`` positions."""
        x_BTD = self.hidden(ids_BT)
        return self.project(x_BTD if keep is None else x_BTD[:, -keep:])

    def project(self, x_BTD: Tensor) -> Tensor:
        """From hidden states to capped logits: ``c·tanh(xEᵀ/c)`` in fp32."""
        raw = self.words(x_BTD).float()
        return self.softcap * torch.tanh(raw / self.softcap)

    def words(self, x_BTD: Tensor) -> Tensor:
        """What scores words, ``xEᵀ``. What adapts to a document (``pgolf.ttt.document_lora``) stands in for it."""
        return F.linear(x_BTD, self.output_table)

    @property
    def output_table(self) -> Tensor:
        """The matrix [V, D] that scores words: the embedding itself, or the untied head's."""
        return self.embedding if self.head is None else self.head.weight

    def loss(self, ids_BT: Tensor, targets_BT: Tensor) -> Tensor:
        """Mean cross-entropy in nats per target (fp32 scalar); in training mode plus the auxiliary losses."""
        x_BTD, context = self.trunk(ids_BT, targets_BT if self.training else None)
        loss = self.word_loss(x_BTD, targets_BT)
        if self.training:
            for term in self.terms:
                loss = term(loss, x_BTD, context, self)
            context.head = (self.output_table, self.softcap)
            for part in self.parts_at("output"):
                part(x_BTD, context)
            for auxiliary in context.auxiliary:
                loss = loss + auxiliary
        return loss

    def word_loss(self, x_BTD: Tensor, targets_BT: Tensor) -> Tensor:
        """Mean cross-entropy (nats) of the head's words on normed hidden states."""
        return capped_cross_entropy(x_BTD.flatten(0, 1), self.output_table, targets_BT.flatten(), self.softcap)

    def addon_sites(self) -> dict[str, tuple[str, ...]]:
        """By addon, the sites at which it hangs."""
        return {name: addon.sites for name, addon in self.addons.specifications.items()}

    def param_specs(self) -> dict[str, ParamSpec]:
        """Optimizer group, storage role, component and layer of every parameter, shared ones once."""
        users: dict[nn.Module, list[Visit]] = {}  # of what visits have beside the matrices of their layers
        for visit in (visit for route in self.routes.values() for visit in route.visits):
            key = own_mlp_key(visit)
            own = [group[key] for group in (self.own_mlps, self.own_layers) if key in group]
            sites = self.addons.block_sites[visit.key].values()
            for module in {self.controls[visit.key], *own, *(part for parts in sites for part in parts)}:
                users.setdefault(module, []).append(visit)
        layers: dict[nn.Module, int] = {layer: i for i, layer in enumerate(self.layers)}
        for module, visits in users.items():
            if len({visit.physical for visit in visits}) == 1:
                layers[module] = visits[0].physical
        repeats = [module for module, visits in users.items() if all(visit.number for visit in visits)]
        return param_specs(self, layers, repeats)

    def aliases(self) -> dict[str, str]:
        """Further state-dict names of shared parameters, each with the name it is stored under."""
        owners: dict[int, str] = {}
        found: dict[str, str] = {}
        for name, parameter in self.named_parameters(remove_duplicate=False):
            owner = owners.setdefault(id(parameter), name)
            if owner != name:
                found[name] = owner
        return found


def _outline(routes: Mapping[str, Route], layers: Sequence[Layer]) -> ModelOutline:
    mixers = {i: layer.mixer for i, layer in enumerate(layers) if layer.mixer is not None}
    return ModelOutline(
        routes,
        attention_layers=tuple(i for i, mixer in mixers.items() if mixer.qk_gain is not None),
        mixer_layers=tuple(mixers),
        mlp_layers=tuple(i for i, layer in enumerate(layers) if layer.mlp is not None),
    )


def own_mlp_key(visit: Visit) -> str:
    """Names the MLP a repeated visit owns: by (physical, visit), whatever its controls are keyed by."""
    return f"{visit.physical}_{visit.number}"


def _own_mlp(shared: nn.Module, kind: Literal["down", "full"]) -> nn.Module:
    """A copy of the MLP ``shared``; ``down``: its matrix into the residual stream only."""
    own = copy.deepcopy(shared)
    if kind == "full":
        return own
    writers = [name for name, child in own.named_children() if isinstance(child, Linear) and child.writes_residual]
    if len(writers) != 1:
        raise ConfigError(
            f"arch.recurrence.untie_mlp: 'down' needs an MLP with one matrix into the residual stream; "
            f"{type(shared).__name__} has {len(writers)}. 'full' or 'none' work with any"
        )
    for name, child in shared.named_children():
        if name not in writers:
            setattr(own, name, child)
    return own


def _untied_head(dims: Dims) -> Linear:
    head = Linear(dims.width, dims.vocab_size, "head")
    head.specs["weight"] = ParamSpec(group="head", storage="embedding", component="head")
    nn.init.zeros_(head.weight)
    return head
