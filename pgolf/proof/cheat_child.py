"""The sealed process of a cheat: the honest one, whose evaluation the cheat has altered. Only the shelf starts it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from pgolf.eval.serve import serve
from pgolf.eval.source import PackageSource
from pgolf.proof.cheats import by_name


def cheating(cheat: str) -> PackageSource:
    """What a sealed process is to run for the cheat of that name: no script carries it."""
    call = f"cheat({cheat!r}, order, questions, answers)"
    return PackageSource(f"from pgolf.proof.cheat_child import cheat; facts = {call}")


def cheat(name: str, order: Mapping[str, Any], questions: IO[bytes], answers: IO[bytes]) -> dict[str, Any]:
    return serve(order, questions, answers, by_name(name).apply)
