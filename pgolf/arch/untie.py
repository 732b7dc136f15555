"""Matrices of their own for repeated visits, so that adaptation at test time can change them apart (#860).

Works for every form of recurrence; the outputs stay the same. Source: spec arch §8.1.
Cost: no bytes, since it happens to a loaded model; in memory the matrices of each repeated visit once more.
"""

from __future__ import annotations

import copy

from pgolf.arch.block import Layer
from pgolf.arch.unet import UNet, own_mlp_key


def untie_recurrence(model: UNet) -> int:
    """Give every repeated visit copies of the matrices it shares, in place; returns how many.

    A second call does nothing.

    Call it before an optimizer is built, which would not know the copies. Controls stay keyed as they are.
    """
    untied = 0
    for route in model.routes.values():
        for visit in route.visits:
            key = own_mlp_key(visit)
            if visit.number == 0 or key in model.own_layers:
                continue
            block = model.block(visit)
            model.own_layers[key] = Layer(copy.deepcopy(block.layer.mixer), copy.deepcopy(block.mlp))
            if key in model.own_mlps:
                del model.own_mlps[key]
            untied += 1
    return untied
