"""What can be wrong with weights that are to be stored."""

from __future__ import annotations

from collections.abc import Sequence

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


class MissingHessian(UserError):
    """GPTQ is to store a matrix that calibration did not see at work."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"quant: no Hessian for {name!r}: calibration never applied it, and only tables that are looked up "
            "and what is kept by role are rounded without one; calibrate with the route of the evaluation, or take "
            "quant=rtn"
        )


class BadHessian(UserError):
    """A Hessian that does not fit its matrix, or that was not measured."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        super().__init__(f"quant: the Hessian of {name!r} cannot be used: {reason}")


class HessianNotPD(UserError):
    """A Hessian that has no Cholesky factor even under the strongest damping."""

    def __init__(self, name: str, tried: Sequence[float]) -> None:
        self.name = name
        shown = ", ".join(f"{damping:g}" for damping in tried)
        super().__init__(
            f"quant: the Hessian of {name!r} is not positive definite under a damping of {shown} of its mean "
            "diagonal; it is no sum of x xᵀ"
        )
