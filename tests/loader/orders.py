"""Shards of tokens that say where they come from, and every option of loader over them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pgolf.config.options import conf_dir
from pgolf.config.preflight import options
from pgolf.core.make import make
from pgolf.data.shards import ShardSlice, whole, write_shard
from tests.helpers import tiny_settings

LENGTHS = (133, 200, 61, 150, 102, 90, 112, 180, 211)
BOS = 0
OPTIONS = options(conf_dir(), "loader")


def write_shards(folder: Path, lengths: Sequence[int] = LENGTHS) -> tuple[ShardSlice, ...]:
    """Token ids count up from 1 through all shards; every 37th is BOS."""
    stream = np.arange(1, sum(lengths) + 1)
    stream[::37] = BOS
    for index, part in enumerate(np.split(stream, np.cumsum(lengths)[:-1])):
        write_shard(folder / f"fineweb_train_{index:06d}.bin", part)
    return whole(sorted(folder.iterdir()))


def loader(option: str, slices: Sequence[ShardSlice], **changed: Any) -> Any:
    node = dict(tiny_settings(f"loader={option}")["loader"])
    numbers = {"batch_tokens": 64, "window": 8, "accumulation": 1, "rank": 0, "world": 1, "seed": 3, "bos_id": BOS}
    settings = {key: changed.pop(key) for key in list(changed) if key in node}
    return make({**node, "prefetch": False, **settings}, slices=slices, **(numbers | changed))


def rows(one: Any, batches: int = 1) -> list[tuple[int, ...]]:
    """Inputs and the last target of each row of the next batches."""
    found = []
    for _ in range(batches):
        x_BT, y_BT = one.next_batch()
        found += [(*x, y[-1]) for x, y in zip(x_BT.tolist(), y_BT.tolist(), strict=True)]
    return found


def step(option: str, slices: Sequence[ShardSlice], world: int, accumulation: int, steps: int, **changed: Any) -> Any:
    """The rows of each optimizer step, by all ranks, sorted."""
    ranks = [
        loader(option, slices, world=world, accumulation=accumulation, rank=rank, **changed) for rank in range(world)
    ]
    return [sorted(row for one in ranks for row in rows(one, accumulation)) for _ in range(steps)]
