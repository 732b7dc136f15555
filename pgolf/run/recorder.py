"""What the stages of a run tell, and to whom: the recorder, which here keeps nothing.

``train.py``, ``eval.py``, ``pgolf requantize`` and the bundled script go the same road (``pgolf.run.stages``); they
differ in who keeps its record. This module imports nothing that a bundled script would not carry.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from pgolf.core.events import Event
from pgolf.core.process import Process, choose_device, share_threads
from pgolf.train.replicas import ALONE, Replicas


class Silence(AbstractContextManager["Silence"]):
    """The progress of something that nobody watches; called with ``(label, done, total)``."""

    def __call__(self, label: str, done: float, total: float | None) -> None: ...

    def __enter__(self) -> Silence:
        return self

    def __exit__(self, *_: object) -> None: ...


class Recorder:
    """Hears what happens and keeps nothing of it; a run's own recorder overrides what it keeps.

    ``cfg`` is the composed config, ``device`` and ``process`` say where the run happens, ``folder`` where its files
    go (None: nowhere), ``script`` its code, ``code_bytes`` what that counts, and ``trained_before`` that the weights
    are a finished run's; ``replicas`` train the model beside this process.
    """

    folder: Path | None = None
    script: bytes = b""
    code_bytes: int = 0
    trained_before: bool = False
    replicas: Replicas = ALONE

    def __init__(self, cfg: Mapping[str, Any], process: Process) -> None:
        self.cfg, self.process = cfg, process
        self.device = choose_device(cfg["device"])
        self.threads = share_threads(cfg["train"]["threads"], process)

    @property
    def settled(self) -> Mapping[str, Any]:
        """``cfg`` with what an earlier process of this run has decided about the machine."""
        return self.cfg

    def account(self) -> Mapping[str, Any]:
        """What a checkpoint keeps of the run beside its training."""
        return {}

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Around one stage, whose seconds belong to ``name``."""
        return nullcontext()

    def progress(self, label: str, unit: str = "") -> AbstractContextManager[Any]:
        """Around anything that takes long; what it yields is called with ``(label, done, total)``."""
        return Silence()

    def hear(self, event: Event) -> None:
        """Something happened."""

    def tell(self, name: str, text: str = "", *, step: int = 0, series: bool = False, **facts: Any) -> None:
        """Hear of an event that a stage tells; see ``pgolf.core.events``."""
        self.hear(Event(name, step, facts, text, series))
