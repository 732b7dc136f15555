"""Mamba-2 hybrid: state-space mixers in most layers, attention with an MLP in a few (spec arch §10.3).

17,885,904 parameters with ten layers, state 16 and 1,024 words at ``size=record``: 1,710,616 in each
state-space layer, which has no MLP. U-Net, x0 mix, skips and tied head are the baseline's. Source: #687.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from pgolf.arch.attention.layer import attention_layer
from pgolf.arch.block import Layer
from pgolf.arch.dims import Dims
from pgolf.arch.head_loss import LARGEST_CAP
from pgolf.arch.ssd import SSD
from pgolf.arch.unet import HeadFacts, UNet
from pgolf.core.errors import ConfigError
from pgolf.core.make import make, target_of
from pgolf.core.protocols import Model
from pgolf.core.ranges import Between, NonNegativeInt, PositiveFloat, PositiveInt


def mamba_hybrid(
    *,
    vocab_size: int,
    bos_id: int,
    layers: PositiveInt,
    width: PositiveInt,
    heads: PositiveInt,
    kv_heads: PositiveInt,
    mlp_hidden: PositiveInt,
    logit_softcap: Annotated[float, Between(0, LARGEST_CAP, open_low=True)],
    tie_embeddings: bool,
    attention_layers: Sequence[NonNegativeInt],
    ssm_inner: PositiveInt,
    ssm_heads: PositiveInt,
    ssm_state: PositiveInt,
    ssm_taps: PositiveInt,
    ssm_chunk: PositiveInt,
    ssm_step_min: PositiveFloat,
    ssm_step_max: PositiveFloat,
    attention: Mapping[str, Any],
    mlp: Mapping[str, Any],
    init: Mapping[str, Any],
    recurrence: Mapping[str, Any],
    lanes: Mapping[str, Any],
    addons: Mapping[str, Mapping[str, Any]],
) -> Model:
    """Build the model. ``attention_layers`` have attention and an MLP, all others a state-space mixer alone."""
    problems = list(_problems(layers, attention_layers, recurrence, lanes, addons))
    if problems:
        raise ConfigError(problems)
    dims = Dims(vocab_size, bos_id, layers, width, heads, kv_heads, mlp_hidden)

    def state_space() -> SSD:
        return SSD(
            dims=dims,
            inner=ssm_inner,
            heads=ssm_heads,
            state=ssm_state,
            taps=ssm_taps,
            chunk_tokens=ssm_chunk,
            step_range=(ssm_step_min, ssm_step_max),
        )

    built = [
        Layer(attention_layer(attention, dims), make(mlp, dims=dims))
        if index in attention_layers
        else Layer(state_space(), None)
        for index in range(layers)
    ]
    head = HeadFacts(logit_softcap, tie_embeddings)
    return UNet(dims, built, head, init=init, recurrence=recurrence, lanes=lanes, addons=addons)


def _problems(
    layers: int,
    attention_layers: Sequence[int],
    recurrence: Mapping[str, Any],
    lanes: Mapping[str, Any],
    addons: Mapping[str, Mapping[str, Any]],
) -> Iterator[str]:
    """What no source defines for this topology, and layers that do not exist."""
    outside = [i for i in attention_layers if not 0 <= i < layers]
    if outside:
        yield f"arch.attention_layers: {outside} out of range; the layers are 0..{layers - 1}"
    for group, node in (("recurrence", recurrence), ("lanes", lanes)):
        technique: Any = target_of(node)  # a Recurrence or Lanes
        if not technique.neutral:
            yield f"arch/{group}: {_stem(technique)} is not defined for arch=mamba_hybrid; arch/{group}=none"
    for name, node in addons.items():
        addon: Any = target_of(node)  # an Addon
        if not addon.beside_state_space:
            yield f"arch/addon: {name} is not defined for arch=mamba_hybrid; remove it with ~arch.addons.{name}"


def _stem(technique: type) -> str:
    """Its word on the command line: the name of its module."""
    return technique.__module__.rpartition(".")[2]
