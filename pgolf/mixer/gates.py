"""Gates of a model's routing head, and the orders they are for: what mixers of these have in common. No option."""

from __future__ import annotations

from collections.abc import Sequence

from pgolf.core.errors import ConfigError
from pgolf.core.prediction import Facts


def check_orders(orders: Sequence[int], most: int) -> tuple[int, ...]:
    """Raises ConfigError for no rising list of orders up to ``most``."""
    whole = all(isinstance(order, int) and not isinstance(order, bool) for order in orders)
    if not whole or not orders or list(orders) != sorted({*orders}) or not 2 <= orders[0] <= orders[-1] <= most:
        raise ConfigError(f"mixer.orders: {list(orders)!r} is no rising list of orders from 2 to {most}")
    return tuple(orders)


def order_weights(orders: Sequence[int]) -> tuple[str, ...]:
    """The names of the weights that come of the gates, the network's first."""
    return ("weight_network", *(f"weight_{order}" for order in orders))


def check_gates(name: str, orders: Sequence[int], facts: Facts, experts: int) -> None:
    """Raises ConfigError for a model without such a head or with one of another width, and for experts, which it has no
    gates for."""
    gates = facts.width("gates")
    if gates == 0:
        raise ConfigError(f"mixer: {name} asks the model's routing head, which it has not; arch/addon=[routing_head]")
    if experts:
        raise ConfigError(
            f"mixer: {name} weighs the network and counts of its own, with no gate for {experts} more; ngram=none"
        )
    if gates is not None and gates != 1 + len(orders):
        raise ConfigError(
            f"mixer.orders: {len(orders)} orders and the network have no use for the {gates} gates of the "
            "model's head; as many as arch.addons.routing_head.orders"
        )
