"""The public baseline GPT: attention and MLP in every layer of the U-Net (spec arch §2).

17,059,912 parameters at ``size=record`` with 1,024 words; 1.2244 bits per byte on eight H100 in 600 s.
Source: the challenge's first ``train_gpt.py``, as described in spec arch §2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pgolf.arch.attention.layer import attention_layer
from pgolf.arch.block import Layer
from pgolf.arch.dims import Dims
from pgolf.arch.head_loss import LARGEST_CAP
from pgolf.arch.unet import HeadFacts, UNet
from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.core.protocols import Model
from pgolf.core.ranges import Between, PositiveInt


def baseline(
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
    no_attention: Sequence[int],
    attention: Mapping[str, Any],
    mlp: Mapping[str, Any],
    init: Mapping[str, Any],
    recurrence: Mapping[str, Any],
    lanes: Mapping[str, Any],
    addons: Mapping[str, Mapping[str, Any]],
) -> Model:
    """Build the model. ``no_attention`` lists layers without attention (#1204 drops layer 0's)."""
    dims = Dims(vocab_size, bos_id, layers, width, heads, kv_heads, mlp_hidden)
    outside = [i for i in no_attention if not 0 <= i < layers]
    if outside:
        raise ConfigError(f"arch.no_attention: {outside} out of range; the layers are 0..{layers - 1}")
    built = [
        Layer(None if index in no_attention else attention_layer(attention, dims), make(mlp, dims=dims))
        for index in range(layers)
    ]
    head = HeadFacts(logit_softcap, tie_embeddings)
    return UNet(dims, built, head, init=init, recurrence=recurrence, lanes=lanes, addons=addons)
