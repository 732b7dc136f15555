"""How much is proved of a score: a number of places and of decoded tokens, never a number of seconds."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Profile:
    """``places`` drawn for the audit; ``decoded`` consecutive tokens read from bytes, all there are at most."""

    places: int
    decoded: int


# From the least to the most; smoke is for a declared slice of validation alone.
PROFILES: Mapping[str, Profile] = {
    "smoke": Profile(places=200, decoded=100),
    "laptop": Profile(places=600, decoded=300),
    "standard": Profile(places=2_000, decoded=20_000),
    "full": Profile(places=2_000, decoded=sys.maxsize),
}
