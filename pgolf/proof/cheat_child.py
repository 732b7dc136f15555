"""The sealed process of a cheat: the honest one, whose evaluation the cheat has altered. Only the shelf starts it."""

from __future__ import annotations

from pgolf.eval import sealed_child
from pgolf.proof.cheats import by_name


def program(cheat: str) -> str:
    """What ``score_sealed`` is to run for the cheat of that name."""
    return f"from pgolf.proof.cheat_child import main; main({cheat!r})"


def main(cheat: str) -> None:
    sealed_child.main(by_name(cheat).apply)
