"""Quantizers and their children as the YAML files have them, with changes, without Hydra."""

from collections import Counter
from pathlib import Path

import numpy as np
import torch
import yaml

from pgolf.core.make import make
from pgolf.core.results import ParamSpec
from pgolf.quant.calibration.base import Calibration
from pgolf.quant.tensor_info import Roles, tensor_infos

CONF = Path(__file__).parents[2] / "conf" / "quant"
CHILDREN = ("scale", "policy", "pruning", "correction", "calibration")
MATRIX = ParamSpec("matrix", "matrix", "mlp")
ATTENTION = ParamSpec("matrix", "matrix", "attention")
EMBEDDING = ParamSpec("embedding", "embedding", "embedding")
HEAD = ParamSpec("head", "embedding", "head")
CONTROL = ParamSpec("scalar", "keep_fp32", "scale")
HALF = ParamSpec("scalar", "keep_fp16", "gate")


def child(group, option, **changes):
    """The node of ``quant/<group>=<option>``, with ``changes`` to its keys."""
    node = yaml.safe_load((CONF / group / f"{option}.yaml").read_text())
    for parent in node.pop("defaults", []):
        if parent != "_self_":
            node = child(group, parent) | node
    if node.get("width") == "${size.width}":
        node["width"] = 512
    return {**node, **changes}


def node(option, **changes):
    """The node of ``quant=<option>``. A change to a child may be an option's name or a whole node."""
    own = yaml.safe_load((CONF / f"{option}.yaml").read_text())
    found = {}
    for entry in own.pop("defaults", []):
        if isinstance(entry, dict):
            ((group, name),) = entry.items()
            found[group.removeprefix("override ")] = child(group.removeprefix("override "), name)
        elif entry != "_self_":
            found |= node(entry)
    named = {key: child(key, v) for key, v in changes.items() if key in CHILDREN and isinstance(v, str)}
    merged = {k: found[k] | v for k, v in own.items() if k in CHILDREN and k in found}
    found = found | own | merged | changes | named
    if "calibration" in found:  # its sizes come from the composed size
        found["calibration"] = child("calibration", "train", reserve_seconds=1.0)
    if isinstance(found.get("policy", {}).get("first_layers"), str):
        found["policy"]["first_layers"] = [1]
    return found


def quantizer(option, **changes):
    return make(node(option, **changes))


def policy(option, bits=5, **changes):
    return make(child("policy", option, **changes), roles=Roles(bits, 8, "by_role"))


def scale(option, **changes):
    return make(child("scale", option, **changes))


def info(name="w", spec=MATRIX, shape=(4, 8)):
    """What is known of one tensor as if it were the model."""
    (found,) = tensor_infos({name: spec}, {name: shape})
    return found


def by_name(state):
    return {tensor.name: tensor for tensor in state.tensors}


def decoded(tensor):
    """What a tensor on the grid decodes to, float64."""
    scale_R = tensor.arrays["scale"].astype(np.float64)
    q_RC = tensor.arrays["q"].reshape(len(scale_R), -1).astype(np.float64)
    return torch.from_numpy(q_RC * scale_R[:, None])


def entropy(codes):
    """Order-0 entropy of codes in bits each."""
    counts = np.array(list(Counter(np.asarray(codes).reshape(-1).tolist()).values()), dtype=np.float64)
    return float(-(counts / counts.sum() * np.log2(counts / counts.sum())).sum())


def correlated(columns, tokens=None, seed=0):
    """Inputs float64 [tokens, columns] with a falling spectrum, as trained networks have them."""
    generator = torch.Generator().manual_seed(seed)
    tokens = 4 * columns if tokens is None else tokens
    spread = torch.arange(1, columns + 1, dtype=torch.float64) ** -0.7
    x = torch.randn(tokens, columns, generator=generator, dtype=torch.float64) * spread
    mix = torch.randn(columns, columns, generator=generator, dtype=torch.float64) * columns**-0.5
    return x @ mix


def hessian(x):
    return (x.T @ x).float()


def calibration(hessians, tokens=64, lookups=()):
    return Calibration(hessians, tokens, 0.0, "test", frozenset(lookups))


def weights(rows, columns, seed=1):
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)) * 0.05
