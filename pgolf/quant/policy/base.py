"""What policies have in common: start from the storage roles, give matrices their bits, then the exceptions.

Three exceptions concern single tensors, and every policy has them:
``late_k_layers``   the key projection of the last N layers stays float16 (#187: two; #162, #372: one). The indices
                    come from the model's number of layers; where nothing matches, that is an error.
``embedding``       ``fp16`` keeps embedding tables and heads in float16 (damage 0.007 → 0.0005 at 1,024 words, for
                    half a megabyte), ``grid`` quantizes them with ``embedding_bits``.
``gate_bits``       matrices of attention gates, which otherwise pass, go on a grid up to their row maximum (#1736:
                    15 to 40 kB less); null leaves them. A model without such gates has nothing to change.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pgolf.core.errors import ConfigError
from pgolf.quant.tensor_info import Evidence, Roles, TensorInfo, Treatment

EmbeddingStorage = Literal["grid", "fp16"]

_KEY_PROJECTION = ("attention", "k")
_GATE = "gate"


class Policy:
    """An option says which bits each matrix gets."""

    needs_hessians: ClassVar[bool] = False

    def __init__(self, *, roles: Roles, late_k_layers: int, embedding: EmbeddingStorage, gate_bits: int | None) -> None:
        self.roles = roles
        self.late_k_layers, self.embedding, self.gate_bits = late_k_layers, embedding, gate_bits

    @abstractmethod
    def matrix_bits(self, matrices: Sequence[TensorInfo], evidence: Evidence | None) -> Mapping[str, int]:
        """Bits by name, for matrices that are to differ from ``roles.bits``."""

    def treatments(self, tensors: Sequence[TensorInfo], evidence: Evidence | None) -> dict[str, Treatment]:
        """A treatment for every tensor of the model. ``evidence`` is None when forecasting.

        Raises ConfigError where a setting names layers or components that the model does not have.
        """
        late = self._late_keys(tensors)
        found = {t.name: self.roles.treatment(t.spec) for t in tensors}
        matrices = [t for t in tensors if t.is_matrix and t.name not in late]
        found |= {name: Treatment("grid", b) for name, b in self.matrix_bits(matrices, evidence).items()}
        found |= dict.fromkeys(late, Treatment("fp16"))
        if self.embedding == "fp16":
            found |= {t.name: Treatment("fp16") for t in tensors if t.spec.storage == "embedding"}
        if self.gate_bits is not None:
            gates = (t.name for t in tensors if _is_gate_matrix(t))
            found |= dict.fromkeys(gates, Treatment("grid", self.gate_bits, to_row_maximum=True))
        return found

    def _late_keys(self, tensors: Sequence[TensorInfo]) -> list[str]:
        if not self.late_k_layers:
            return []
        keys = {
            t.name: t.layer
            for t in tensors
            if (t.spec.component, t.spec.kind) == _KEY_PROJECTION and t.layer is not None
        }
        layers = tensors[0].layers if tensors else 0
        late = [name for name, layer in keys.items() if layer >= layers - self.late_k_layers]
        if not late:
            where = ", ".join(map(str, keys.values())) or "none"
            raise ConfigError(
                f"quant.policy.late_k_layers: the last {self.late_k_layers} of {layers} layers have no key "
                f"projection; layers that have one: {where}"
            )
        return late


def _is_gate_matrix(tensor: TensorInfo) -> bool:
    return tensor.kept_by_role and len(tensor.shape) == 2 and tensor.spec.component.endswith(_GATE)


def check_promoted(place: str, promoted_bits: int, roles: Roles) -> None:
    """Raise ConfigError unless the promoted matrices get more bits than the others."""
    if promoted_bits <= roles.bits:
        raise ConfigError(
            f"{place}: {promoted_bits} is no promotion from quant.bits = {roles.bits}; take a larger number, "
            "or quant/policy=by_role"
        )
