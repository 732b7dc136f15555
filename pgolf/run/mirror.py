"""The loggers of an evaluation, where ``logger=`` asks for some: what eval.py finds is a run of its own, job eval."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from pgolf.artifact.container import Loaded
from pgolf.config.eval_words import EvalWords
from pgolf.config.saved import read_saved
from pgolf.core.errors import RunError
from pgolf.core.make import make
from pgolf.core.results import Artifact, Certificate
from pgolf.run.listeners import Harmless
from pgolf.track.jsonable import to_plain
from pgolf.track.result import read_result


class Mirror:
    """Use with ``with``; ``result`` is what finish is told, nothing that ended well until it is set."""

    def __init__(
        self,
        words: EvalWords,
        loaded: Loaded,
        overrides: Mapping[str, Mapping[str, Any]],
        machine: Mapping[str, Any],
        say: Callable[[str], None],
    ) -> None:
        self.result: dict[str, Any] = {"status": "failed"}
        folder = words.out.with_name(f"{words.out.name}.logs")  # beside the certificate, whatever that is called
        self._loggers = [Harmless(make(node, folder=folder, say=say), say) for node in words.loggers.values()]
        if self._loggers:
            run, config = _parent(words.artifact, loaded)
            own = {key: words.settings[key] for key in ("data", "budget", "certify")}
            chosen = {group: words.settings["choices"].get(group) for group in (*words.chosen, "data", "budget")}
            config = {**config, **overrides, **own, "choices": {**(config.get("choices") or {}), **chosen}}
            about = {**run, "job": "eval", "resumed": False, "artifact_sha256": loaded.sha256}
            for logger in self._loggers:
                logger.start({"run": about, "config": config, "machine": dict(machine)})

    def settle(self, result: Mapping[str, Any], certificate: Certificate, counted: Artifact) -> None:
        """The evaluation came to this."""
        self.result = to_plain({**result, "certificate": certificate.as_dict(), "artifact": counted})
        final = self.result["scores"]["final"]
        for logger in self._loggers:
            logger.log(0, {"final_loss": final["val_loss"], "final_bpb": final["val_bpb"]})

    def __enter__(self) -> Mirror:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for logger in self._loggers:
            logger.finish(self.result)


def _parent(artifact: Path, loaded: Loaded) -> tuple[dict[str, Any], dict[str, Any]]:
    """Who made the artifact, and its config, by the result beside it if that is about it; else what the artifact's
    header says."""
    try:
        result = read_result(artifact.parent)
        if (result["artifact"] or {}).get("sha256") == loaded.sha256:
            return dict(result["run"]), read_saved(artifact.parent / "config.yaml")
    except (RunError, LookupError, TypeError, ValueError):
        pass
    return {"name": artifact.stem, "seed": None, "rerun": 1}, dict(loaded.header)
