"""One line of events: whoever does something tells it once, and whoever keeps records hears it.

An event has a name, the step at which it happened and facts; ``text`` is a sentence for people. A listener takes
what it understands and lets the rest pass, so that a new hook's events reach the screen, and its series the
loggers, with no edit anywhere. A name that listeners know comes with the facts they read: those of ``pgolf.run.stages``
and of the trainer, ``dev`` (``dev_loss``, ``dev_bpb``, ``train_seconds``) and ``switch`` (``what``, ``state``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Event:
    """``name`` is one word, the label it is shown under. ``series``: its numbers are a curve over the steps."""

    name: str
    step: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""
    series: bool = False


class Listener(Protocol):
    """Hears every event of a run, in order, in the thread that tells it."""

    def hear(self, event: Event) -> None: ...
