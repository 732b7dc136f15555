"""Tensor by tensor, what an artifact spends on a run's weights and how far what it keeps is from them.

Bits of a weight are those of the codes under their own histogram and of the floats by their law (quant/entropy.py), an
estimate without what the compressor adds by contexts. Damage is ‖W − Ŵ‖² / ‖W‖², what the stored weights miss of the
trained ones' energy; it is no loss in bits per byte, which depends on what a matrix is fed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgolf.artifact.container import read
from pgolf.artifact.header import PACKED, TOKENIZER
from pgolf.bundle.folder import ARTIFACT_NAME
from pgolf.core.errors import RunError
from pgolf.quant.entropy import stored_bytes
from pgolf.quant.stored import dequantize

WEIGHTS_NAME = "weights.pt"


@dataclass(frozen=True, slots=True)
class StoredWeights:
    """``grid_bits``: of a code, 0 for floats; ``bits``: of a weight, as estimated, its corrections with it; ``damage``:
    None where the run's own weights are not known."""

    name: str
    role: str
    scheme: str
    shape: tuple[int, ...]
    grid_bits: int
    bits: float
    damage: float | None

    @property
    def weights(self) -> int:
        count = 1
        for length in self.shape:
            count *= length
        return count


@dataclass(frozen=True, slots=True)
class StoredModel:
    """``tensors`` in the artifact's order; ``bytes_by_role`` of the file; ``problem``: why there is no damage."""

    tensors: tuple[StoredWeights, ...]
    bytes_by_role: dict[str, int]
    problem: str


def stored_model(run: Path) -> StoredModel:
    """Of the artifact and the weights in a run's folder. Raises UserError where the artifact cannot be read."""
    loaded = read(run / ARTIFACT_NAME)
    kept = dequantize(loaded.state)
    try:
        trained, problem = trained_weights(run), ""
    except RunError as error:
        trained, problem = {}, str(error)
    factors = {name for pair in loaded.state.corrections.values() for name in pair}
    by_name = {tensor.name: tensor for tensor in loaded.state.tensors}
    found = []
    for tensor in loaded.state.tensors:
        if tensor.name in factors:
            continue
        parts = [tensor, *(by_name[name] for name in loaded.state.corrections.get(tensor.name, ()))]
        count = max(1, kept[tensor.name].numel())
        damage = _damage(trained.get(tensor.name), kept[tensor.name])
        found.append(
            StoredWeights(
                tensor.name,
                tensor.role,
                tensor.scheme + (" + low rank" if len(parts) > 1 else ""),
                tuple(tensor.shape),
                tensor.bits,
                8 * stored_bytes(parts) / count,
                damage,
            )
        )
    roles = {role: size for role, size in loaded.bytes_by_role.items() if role not in (PACKED, TOKENIZER)}
    return StoredModel(tuple(found), roles, problem)


def trained_weights(run: Path) -> dict[str, Any]:
    """Those that a run has saved, by name. Raises RunError."""
    import torch

    path = run / WEIGHTS_NAME
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise ValueError("it is no file")
        weights = torch.load(path, map_location="cpu", weights_only=True)["weights"]
        if not all(isinstance(value, torch.Tensor) for value in weights.values()):
            raise ValueError("what it holds are no tensors")
    except Exception as error:  # a foreign or torn file fails in many ways
        told = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise RunError(f"{path}: the run's weights cannot be read ({told})") from error
    return dict(weights)


def _damage(trained: Any, kept: Any) -> float | None:
    if trained is None or trained.shape != kept.shape:
        return None
    was, now = trained.double(), kept.double()
    energy = float((was**2).sum())
    missing = float(((was - now) ** 2).sum())
    if energy == 0:
        return 0.0 if missing == 0 else None
    return missing / energy
