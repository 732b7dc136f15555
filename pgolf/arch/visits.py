"""The visit list: in which order a forward pass runs the physical layers (spec arch §7).

All recurrence forms reduce to it. A model may own several routes, of which one is active at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

Keys = Literal["visit", "physical", "virtual"]


@dataclass(frozen=True, slots=True)
class Visit:
    """One application of a layer.

    ``virtual`` is its place in the list, ``physical`` the layer whose matrices it uses, ``number`` how often
    that layer has been visited before (0 for the first visit), ``half`` the U-Net half it lies in, ``key``
    names the control scalars it uses. ``restart`` marks the first visit of a further pass: the stack of skips
    is emptied before it. ``norm``: the stream is normed before it.
    """

    virtual: int
    physical: int
    number: int
    half: Literal["encoder", "decoder"]
    key: str
    restart: bool = False
    norm: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """A named visit list; the first half pushes skips, the second pops them."""

    name: str
    visits: tuple[Visit, ...]

    @property
    def skips(self) -> int:
        """How many decoder visits find a skip on the stack."""
        waiting = popped = most = 0
        for visit in self.visits:
            if visit.restart:
                waiting = popped = 0
            if visit.half == "encoder":
                waiting += 1
            elif waiting:
                waiting, popped = waiting - 1, popped + 1
            most = max(most, popped)
        return most

    def __str__(self) -> str:
        """Layers in order: ``|`` before the decoder half, ``/`` where a further pass begins."""
        words, half = [], "encoder"
        for visit in self.visits:
            if visit.restart:
                words.append("/")
            elif visit.half != half:
                words.append("|")
            words.append(str(visit.physical))
            half = visit.half
        return " ".join(words)


def route(name: str, physical: Sequence[int], *, encoder: int | None = None, keys: Keys = "visit") -> Route:
    """The route that visits ``physical`` layers in this order.

    ``encoder`` is the number of encoder visits, the floor half unless given. ``keys`` says what control
    scalars belong to: a (physical, visit) pair, a physical layer, or a virtual place.
    """
    boundary = len(physical) // 2 if encoder is None else encoder
    seen: dict[int, int] = {}
    visits = []
    for virtual, layer in enumerate(physical):
        number = seen.get(layer, 0)
        seen[layer] = number + 1
        key = control_key(keys, virtual, layer, number)
        visits.append(Visit(virtual, layer, number, "encoder" if virtual < boundary else "decoder", key))
    return Route(name, tuple(visits))


def passes(name: str, layers: int, count: int) -> Route:
    """``count`` passes over all layers, each a U-Net of its own with skips of its own; scalars are shared."""
    once = route(name, range(layers), keys="physical").visits
    visits = (
        replace(v, virtual=number * layers + v.virtual, number=number, restart=number > 0 and v.virtual == 0)
        for number in range(count)
        for v in once
    )
    return Route(name, tuple(visits))


def control_key(keys: Keys, virtual: int, physical: int, number: int) -> str:
    """The name of the control scalars of a visit."""
    return {"visit": f"{physical}_{number}", "physical": f"{physical}_0", "virtual": f"v{virtual}"}[keys]
