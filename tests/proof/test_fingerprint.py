import numpy as np
import torch
from torch import nn

from pgolf.proof.fingerprint import fingerprint


class Holder:
    __slots__ = ("inner", "table")

    def __init__(self):
        self.table = np.zeros(4)
        self.inner = {"weights": nn.Linear(2, 2), "count": 0}


def test_equal_states_give_equal_fingerprints():
    holder = Holder()
    before = fingerprint(holder)
    assert fingerprint(holder) == before


def test_every_reachable_number_counts():
    holder = Holder()
    seen = {fingerprint(holder)}
    holder.table[2] = 1
    seen.add(fingerprint(holder))
    holder.inner["count"] = 3
    seen.add(fingerprint(holder))
    with torch.no_grad():
        holder.inner["weights"].bias[0] += 1e-6
    seen.add(fingerprint(holder))
    holder.inner["later"] = holder.table
    seen.add(fingerprint(holder))
    assert len(seen) == 5


def test_closures_and_generators_count():
    box = [0]

    def remembers():
        return box[0]

    before = fingerprint(remembers)
    box[0] = 1
    assert fingerprint(remembers) != before
    generator = torch.Generator()
    before = fingerprint(generator)
    torch.rand(1, generator=generator)
    assert fingerprint(generator) != before


def test_cycles_end():
    a, b = {}, {}
    a["b"], b["a"] = b, a
    assert fingerprint(a) == fingerprint(a)
