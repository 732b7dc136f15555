"""What can be wrong with weights that are to be stored."""

from __future__ import annotations

from pgolf.core.errors import UserError


class NonFiniteWeight(UserError):
    """A weight, or the scale that would carry it, is not a finite number."""

    def __init__(self, name: str, reason: str = "it holds NaN or infinity") -> None:
        self.name = name
        super().__init__(f"quant: cannot store weight {name!r}: {reason}")


class UnknownTensor(UserError):
    """A tensor without a policy, or present on only one side of artifact and model."""

    def __init__(self, name: str, reason: str = "it has no storage policy") -> None:
        self.name = name
        super().__init__(f"quant: unknown tensor {name!r}: {reason}")


class ConflictingAlias(UserError):
    """Two names declared to be one tensor, with different values, shapes or policies."""

    def __init__(self, name: str, owner: str, reason: str) -> None:
        self.name = name
        self.owner = owner
        super().__init__(f"quant: {name!r} is declared an alias of {owner!r}, but {reason}")
