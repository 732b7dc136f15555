"""``Part``: a module that says of each of its parameters where it belongs, and of itself what others must know.

Every parameter names its optimizer group, its storage role and its component when it is created, so that
nothing is trained by nobody and nothing is quantized by accident (spec arch §1, style 16). What others ask of a
technique are attributes with the defaults given here, so that no list of techniques stands anywhere else.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pgolf.arch.step.memory import Past, Step
from pgolf.core.results import OptimizerGroup, ParamSpec, StorageRole

NORM_EPSILON = 1.19e-7


def rms_norm(x: Tensor) -> Tensor:
    """``x / sqrt(mean(x²) + ε)`` over the last axis, computed in fp32 whatever the dtype of ``x``."""
    return F.rms_norm(x.float(), (x.size(-1),), eps=NORM_EPSILON).to(x.dtype)


def all_of_the_first(width: int) -> Tensor:
    """Weights [2, D] that begin a mix of two streams with the first alone: ones and zeros."""
    # torch.stack says the same, but on the meta device, where models are counted, it loads the compiler: 2 s a start.
    return torch.tensor([[1.0], [0.0]]).expand(2, width).contiguous()


class Part(nn.Module):
    """A module whose direct parameters are all declared through ``declare``.

    ``alone``: its methods treat each position by itself, so that a model can be fed in pieces with it as it is. By
    default nobody assumes so; a part that looks at other positions overrides ``stand_ins``.
    ``why_not`` ends the sentence that refuses one that can do neither.
    ``follows_progress``: ``at_progress`` wants to know how far the run is.
    ``tells``: what evaluation can ask it for at the sites ``output`` and ``embedding``, by name, with the number of
    numbers.
    ``columns``: of parameters with a row for each layer from ``first`` on, what the numbers of a row are.
    """

    alone: bool = False
    why_not: str = "has no memory of the positions before"
    follows_progress: bool = False
    tells: Mapping[str, int] = {}
    columns: Mapping[str, tuple[str, ...]] = {}
    first: int = 0

    def __init__(self) -> None:
        super().__init__()
        self.specs: dict[str, ParamSpec] = {}

    def declare(self, name: str, value: Tensor, *, group: OptimizerGroup, storage: StorageRole, component: str) -> None:
        """Register ``value`` as the parameter ``name`` with its optimizer group and storage role."""
        self.register_parameter(name, nn.Parameter(value))
        self.specs[name] = ParamSpec(group=group, storage=storage, component=component)

    def declare_control(self, name: str, value: Tensor, component: str = "control") -> None:
        """A scalar or vector that steers others: AdamW as for all scalars, stored in fp32."""
        self.declare(name, value, group="scalar", storage="keep_fp32", component=component)

    def stand_ins(self, past: Past) -> Mapping[str, Step] | None:
        """Stand-ins, by name, for its own methods (not its children's) while the model is fed in pieces; None where it
        cannot be."""
        return {} if self.alone else None

    def tell(self, name: str, x_BTD: Tensor) -> Tensor:
        """One of what it ``tells``, [B, T, W], from the final normed stream; at ``embedding`` from what it is given."""
        raise NotImplementedError

    def at_progress(self, fraction: float) -> None:
        """Told before the first step and after every one, where ``follows_progress``: the run's done fraction.

        What changes must be a tensor, or compiled graphs would keep the old value (spec optimizer §6).
        """


class SequenceMixer(Part):
    """What stands first in a layer and moves information between positions: attention, or a state space.

    Called as ``mixer(h_BTD, gain_H, sites, context)``: ``gain_H`` is the visit's query gain, None without
    ``qk_gain``; ``sites`` are the block's parts, of which it calls those inside attention. Returns [B, T, D].

    ``qk_gain``: where each visit's query gain starts; None: it takes none, as it is no attention.
    ``trains_on``: the types of device on which it has a backward pass.
    """

    role = "mixer"
    qk_gain: float | None = None
    trains_on: tuple[str, ...] = ("cpu", "cuda")


class FeedForward(Part):
    """What stands second in a layer and treats each position alone: the options of arch/mlp."""

    role = "mlp"

    def own_activation(self) -> Part | None:
        """A new activation with parameters that one visit owns, which ``forward`` then takes as its second
        argument; None: the activation has none. Visits that share matrices need not share these (spec arch §10.1)."""
        return None


class Linear(Part):
    """Bias-free ``y = x Wᵀ``; fp32 master weight [out, in], cast at use by autocast.

    ``writes_residual`` marks the projections back into the residual stream, which initialisers zero.
    """

    alone = True
    role = "matrix"
    weight: nn.Parameter

    def __init__(self, fan_in: int, fan_out: int, component: str, writes_residual: bool = False) -> None:
        super().__init__()
        weight = torch.empty(fan_out, fan_in)
        nn.init.kaiming_uniform_(weight, a=5**0.5)
        self.declare("weight", weight, group="matrix", storage="matrix", component=component)
        self.writes_residual = writes_residual

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight)


def param_specs(
    model: nn.Module, layers: Mapping[nn.Module, int] | None = None, repeats: Collection[nn.Module] = ()
) -> dict[str, ParamSpec]:
    """Specs by qualified parameter name; asserts that every parameter has exactly one.

    ``layers`` gives the physical layer of modules, ``repeats`` those of repeated visits alone; both hold for all
    parameters below them. The kind of a ``weight`` is the name its module goes by (``q``, ``down``), that of any other
    parameter its own.
    """
    specs: dict[str, ParamSpec] = {}
    places = {model: (None if layers is None else layers.get(model), "", model in repeats)}
    for prefix, module in model.named_modules():  # parents first, each module once
        layer, called, repeat = places[module]
        own = dict(module.named_parameters(recurse=False))
        declared = module.specs if isinstance(module, Part) else {}
        assert own.keys() == declared.keys(), (
            f"{prefix or 'model'}: {own.keys() ^ declared.keys()} not declared through Part.declare"
        )
        for name, spec in declared.items():
            kind = spec.kind or (called if name == "weight" else name)
            specs[f"{prefix}.{name}" if prefix else name] = replace(spec, kind=kind, layer=layer, repeat=repeat)
        for child_name, child in module.named_children():
            below = layer if layers is None else layers.get(child, layer)
            places.setdefault(child, (below, child_name, repeat or child in repeats))
    return specs
