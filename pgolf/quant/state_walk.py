"""The walk over a state dict that all quantizers share: names, policies, aliases, finite values.

A quantizer supplies only ``store(name, weight, spec) -> StoredTensor``; it is called once per distinct
tensor, in the order of the names, so that the same weights give the same artifact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from pgolf.core.errors import did_you_mean
from pgolf.core.results import ParamSpec, QuantizedState, StoredTensor
from pgolf.quant.errors import ConflictingAlias, NonFiniteWeight, UnknownTensor
from pgolf.quant.schemes.fp import scheme_name

Store = Callable[[str, Tensor, ParamSpec], StoredTensor]

KEEP_ROLE = "small"


def walk(
    state: Mapping[str, Tensor],
    specs: Mapping[str, ParamSpec],
    store: Store,
    aliases: Mapping[str, str] | None = None,
) -> QuantizedState:
    """Store every tensor of ``state`` once.

    ``aliases`` (alias to owner) declares further ties; tensors that share their memory are found by
    themselves. An alias may be absent from ``state`` and needs no spec.
    Raises UnknownTensor, NonFiniteWeight, ConflictingAlias.
    """
    owners = owners_of(state, specs, aliases)
    stored = (store(name, state[name].detach(), specs[name]) for name in sorted(state) if name not in owners)
    return QuantizedState(tensors=tuple(stored), aliases=dict(sorted(owners.items())))


def owners_of(
    state: Mapping[str, Tensor], specs: Mapping[str, ParamSpec], aliases: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Check every weight and name; the owner of every alias. What is no alias has weights and a spec.

    Raises UnknownTensor, NonFiniteWeight, ConflictingAlias.
    """
    for name, weight in state.items():
        _check_weight(name, weight)
    owners = _owners(state, specs, aliases or {})
    for name in state:
        if name not in specs and name not in owners:
            raise UnknownTensor(name, f"it has no storage policy.{did_you_mean(name, list(specs))}")
    for name in specs:
        if name not in state and name not in owners:
            raise UnknownTensor(name, f"it has a storage policy, but no weights.{did_you_mean(name, list(state))}")
    return owners


def keep(name: str, weight: Tensor, role: str, dtype: torch.dtype) -> StoredTensor:
    """Store ``weight`` as it is, in float32 or float16. Raises NonFiniteWeight where float16 overflows."""
    half = dtype == torch.float16
    values = weight.to(dtype)
    if half and not bool(torch.isfinite(values).all()):
        raise NonFiniteWeight(name, f"float16 ends at 65504, its largest value is {float(weight.abs().max()):g}")
    array = values.contiguous().cpu().numpy().copy()  # not a window on weights that may change
    return StoredTensor(
        name=name,
        role=role,
        scheme=scheme_name(16 if half else 32),
        shape=array.shape,
        arrays={"values": array},
    )


def _check_weight(name: str, weight: Tensor) -> None:
    if weight.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        raise UnknownTensor(name, f"only float32, float16 and bfloat16 weights can be stored, not {weight.dtype}")
    if not bool(torch.isfinite(weight).all()):
        raise NonFiniteWeight(name)


def _owners(state: Mapping[str, Tensor], specs: Mapping[str, ParamSpec], declared: Mapping[str, str]) -> dict[str, str]:
    """Alias to owner, one step deep: what was declared, and what shares memory."""
    links = dict(declared)

    def root(name: str) -> str:
        seen = [name]
        while seen[-1] in links:
            seen.append(links[seen[-1]])
            if seen[-1] in seen[:-1]:
                raise ConflictingAlias(name, links[name], f"that goes in a circle: {' -> '.join(seen)}")
        return seen[-1]

    for group in _same_memory(state):
        roots = sorted({root(name) for name in group}, key=lambda name: (name not in specs, name))
        links.update((other, roots[0]) for other in roots[1:])
    owners = {alias: root(alias) for alias in links}
    for alias, owner in owners.items():
        _check_alias(alias, owner, state, specs)
    return owners


def _same_memory(state: Mapping[str, Tensor]) -> list[list[str]]:
    groups: dict[tuple[object, ...], list[str]] = {}
    for name in sorted(state):
        w = state[name]
        if w.numel():
            where = (str(w.device), w.untyped_storage().data_ptr(), w.storage_offset())
            groups.setdefault((*where, tuple(w.shape), w.stride(), w.dtype), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def _check_alias(alias: str, owner: str, state: Mapping[str, Tensor], specs: Mapping[str, ParamSpec]) -> None:
    if owner not in state:
        raise UnknownTensor(owner, f"{alias!r} is declared its alias, but it has no weights")
    if alias in state:
        if state[alias].shape != state[owner].shape:
            shapes = f"{list(state[alias].shape)} and {list(state[owner].shape)}"
            raise ConflictingAlias(alias, owner, f"their shapes are {shapes}")
        if not torch.equal(state[alias], state[owner]):
            raise ConflictingAlias(alias, owner, "their values differ")
    if alias in specs and owner in specs and specs[alias].storage != specs[owner].storage:
        roles = f"{specs[alias].storage!r} and {specs[owner].storage!r}"
        raise ConflictingAlias(alias, owner, f"their storage roles are {roles}")
