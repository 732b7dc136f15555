"""The table of low-rank corrections in an artifact's directory: read, and held to the tensors it speaks of.

A matrix R x C that has one decodes to its own values plus ``left @ right``, R x K times K x C, both stored tensors of
any scheme. Whoever reads a table with a chain, a tensor used twice or an absurd rank reads no artifact of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pgolf.core.errors import ArtifactError
from pgolf.quant.stored import MAX_RANK

Corrections = Mapping[str, tuple[str, str]]


def read_corrections(rows: Any) -> dict[str, tuple[str, str]]:
    """The table from its JSON. Raises ArtifactError for any other type and for an empty table, which is left out."""
    if not isinstance(rows, dict) or not rows:
        raise ArtifactError("artifact: its table of corrections is empty or of the wrong type")
    for name, factors in rows.items():
        if not (isinstance(factors, list) and list(map(type, factors)) == [str, str]):
            raise ArtifactError(f"artifact: the correction of {name!r} is not two names")
    return {name: (left, right) for name, (left, right) in rows.items()}


def check_corrections(
    shapes: Mapping[str, tuple[int, ...]], aliases: Mapping[str, str], corrections: Corrections
) -> None:
    """``shapes`` of all stored tensors. Raises ArtifactError naming the correction that does not fit."""
    owners = set(aliases.values())
    used: set[str] = set()
    for name, factors in sorted(corrections.items()):
        if name in aliases:
            raise ArtifactError(
                f"artifact: the correction of {name!r}, an alias, belongs to its owner {aliases[name]!r}"
            )
        for tensor in (name, *factors):
            if tensor not in shapes:
                raise ArtifactError(f"artifact: the correction of {name!r} needs {tensor!r}, a missing tensor")
            if len(shapes[tensor]) != 2:
                raise ArtifactError(f"artifact: in the correction of {name!r}, {tensor!r} is no matrix")
        for factor in factors:
            if factor in used or factor in corrections or factor in owners:
                raise ArtifactError(f"artifact: {factor!r} corrects {name!r} and is used elsewhere too")
            used.add(factor)
        _check_shapes(name, shapes[name], *(shapes[factor] for factor in factors))


def _check_shapes(name: str, matrix: tuple[int, ...], left: tuple[int, ...], right: tuple[int, ...]) -> None:
    if (left[0], right[1]) != matrix or left[1] != right[0]:
        raise ArtifactError(f"artifact: factors {list(left)} and {list(right)} do not correct {name!r} {list(matrix)}")
    if not 1 <= left[1] <= min(*matrix, MAX_RANK):
        raise ArtifactError(f"artifact: the correction of {name!r} has the impossible rank {left[1]}")
