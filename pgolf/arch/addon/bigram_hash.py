"""BigramHash: adds an embedding of the last two tokens, looked up under a hash of the pair.

Shapes: B batch, T time, D model, N rows, E row width.

``x_t += s · P · table[row_t]`` with, for ``hash: xor``,
``row_t = ((36313·id_t) xor (27191·id_{t−1})) mod (N−1)`` and row N−1 kept for the first position; for
``hash: add``, ``row_t = (92821·id_{t−1} + id_t) mod N`` with id_{−1} = 0. With ``bos_mask`` a BOS is treated as
a first position, so that no document reads the one packed before it.
Source: #187, #549, #860, #1204 (spec arch §4.1). Published with ``xor``: table zero, s = 0.05; with ``add``:
table N(0, 0.01²), no s (``scale: null``). P never starts at zero: with a zero table that would leave both
without gradient for ever.
Cost: N·E + E·D + 1 weights (262,145 for 1536×128 at width 512), the table in the embedding's precision, P in
fp16.
Time: one look-up and one E×D product per token.
It hurts where the vocabulary is large: records with 4,096 words or more dropped it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from pgolf.arch.addon.base import Addon, ModelOutline
from pgolf.arch.base import Linear, Part
from pgolf.arch.dims import Dims
from pgolf.arch.step.memory import LastInputs, Past, Step
from pgolf.arch.visits import Visit
from pgolf.core.errors import ConfigError
from pgolf.core.ranges import Between, NonNegativeFloat, PositiveFloat, PositiveInt
from pgolf.core.results import ParamSpec

HashName = Literal["xor", "add"]
PLACE = "arch.addons.bigram_hash"


def pair_rows(ids_BT: Tensor, rows: int, hash_name: HashName, bos_id: int | None) -> Tensor:
    """The table row of every position, int64 [B, T]. ``bos_id`` not None: a BOS starts a document.

    The products are formed in int64, so they never wrap; in int32 they would be the same up to 59,138 words
    (``xor``) or 23,135 (``add``).
    """
    ids = ids_BT.long()
    previous = F.pad(ids[:, :-1], (1, 0))
    first = torch.arange(ids.size(1), device=ids.device)[None] == 0
    if bos_id is not None:
        first = first | (ids == bos_id)
    if hash_name == "xor":
        return torch.where(first, rows - 1, ((36313 * ids) ^ (27191 * previous)) % (rows - 1))
    return (92821 * previous.masked_fill(first, 0) + ids) % rows


class BigramEmbedding(Part):
    """The site ``embedding``: adds the pair's row to each embedded token."""

    table: torch.nn.Parameter
    scale: torch.nn.Parameter | None

    def __init__(self, dims: Dims, settings: BigramHash) -> None:
        super().__init__()
        self.rows, self.hash_name = settings.rows, settings.hash_name
        self.bos_id = dims.bos_id if settings.bos_mask else None
        table = torch.randn(settings.rows, settings.dim) * settings.table_std
        self.declare("table", table, group="embedding", storage="embedding", component="bigram")
        self.projection = Linear(settings.dim, dims.width, "bigram")
        self.projection.specs["weight"] = ParamSpec(settings.projection_group, "keep_fp16", "bigram")
        if settings.scale is None:
            self.scale = None
        else:
            self.declare_control("scale", torch.tensor(settings.scale), "bigram")

    def stand_ins(self, past: Past) -> Mapping[str, Step]:
        return {"forward": LastInputs(past, self.forward, 1)}

    def forward(self, x_BTD: Tensor, ids_BT: Tensor) -> Tensor:
        rows_BT = pair_rows(ids_BT, self.rows, self.hash_name, self.bos_id)
        pair_BTD = self.projection(F.embedding(rows_BT, self.table))
        return x_BTD + (pair_BTD if self.scale is None else self.scale * pair_BTD)


class BigramHash(Addon):
    """The specification; ``rows`` is N, ``dim`` is E, ``scale`` null leaves s out."""

    sites = ("embedding",)
    order = 10

    def __init__(
        self,
        *,
        rows: Annotated[int, Between(2)],
        dim: PositiveInt,
        hash: Literal["xor", "add"],
        scale: PositiveFloat | None,
        table_std: NonNegativeFloat,
        bos_mask: bool,
        projection_group: Literal["matrix", "scalar"],
    ) -> None:
        if rows < 2:
            raise ConfigError(f"{PLACE}.rows: {rows} is out of range: at least 2 (one row is kept for the start)")
        self.rows, self.dim, self.hash_name, self.scale = rows, dim, hash, scale
        self.table_std, self.bos_mask, self.projection_group = table_std, bos_mask, projection_group

    def build(self, dims: Dims, site: str, visit: Visit | None, model: ModelOutline) -> BigramEmbedding:
        return BigramEmbedding(dims, self)
