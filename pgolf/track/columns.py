"""A run's result as one flat row: the columns of a table of runs, such as W&B's.

    score/bpb  score/claimed_bpb  score/renormalised_bpb  score/sum_p_mean  score/sum_p_max  score/side_bits
    score/loss_nats  score/counted_bpb  score/valid  score/subset  score/seconds
    score/prequant_bpb  score/roundtrip_bpb  score/dev_bpb  quantization/damage_bpb
    bytes/total  /weights  /packed  /code  /tokenizer  /cap  /left      model/params
    certificate/passed  /n  /bound  /looked_at  /track  /profile  /isolation  /failed
    train/steps  /tokens  /ms_per_step  /seconds  /tokens_per_second    seconds/STAGE
    status  reason  anomalies

``score/counted_bpb`` is there only for a score that a report would count: a valid one of the whole text of a run that
finished. Of ``certificate/looked_at`` audited positions ``certificate/n`` were drawn evenly; where all of them agree,
at 95 % fewer than the share ``certificate/bound`` of all positions differ. What a run did not reach, and what is no
number, has no column.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_SCORE = {
    "bpb": "val_bpb",
    "claimed_bpb": "claimed_bpb",
    "renormalised_bpb": "renormalised_bpb",
    "sum_p_mean": "sum_p_mean",
    "sum_p_max": "sum_p_max",
    "side_bits": "side_bits",
    "loss_nats": "val_loss",
    "valid": "valid",
    "subset": "subset",
    "seconds": "seconds",
}
_BYTES = {kind: f"bytes_{kind}" for kind in ("total", "weights", "packed", "code", "tokenizer")} | {"cap": "cap_bytes"}
_TRAIN = ("steps", "tokens", "ms_per_step", "seconds", "tokens_per_second")
_CERTIFICATE = ("passed", "track", "profile", "isolation")
_PREFIX_ONLY = "b"  # the probe that says of how many positions it knows what


def columns_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of what result.json holds; of half a result, or none, those that are there."""
    found = {
        **dict(_scores(_part(result, "scores"))),
        **dict(_bytes(_part(result, "artifact"))),
        **dict(_certificate(_part(result, "certificate"))),
        **{f"train/{name}": _part(result, "train").get(name) for name in _TRAIN},
        **{f"seconds/{stage.replace(' ', '_')}": spent for stage, spent in _part(result, "ledger").items()},
        "model/params": _part(result, "model").get("params"),
        "status": result.get("status"),
        "reason": result.get("reason"),
        "anomalies": len(result.get("anomalies") or ()) if result else None,
    }
    final = _part(_part(result, "scores"), "final")
    if result.get("status") == "finished" and final.get("valid") and not final.get("subset"):
        found["score/counted_bpb"] = final.get("val_bpb")
    return {name: value for name, value in found.items() if value is not None and value != ""}


def _part(tree: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = tree.get(name)
    return part if isinstance(part, Mapping) else {}


def _scores(scores: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    final = _part(scores, "final")
    yield from ((f"score/{name}", final.get(key)) for name, key in _SCORE.items())
    bpb = {which: _part(scores, which).get("val_bpb") for which in ("prequant", "roundtrip", "dev")}
    yield from ((f"score/{which}_bpb", value) for which, value in bpb.items())
    if bpb["prequant"] is not None and bpb["roundtrip"] is not None:
        yield "quantization/damage_bpb", bpb["roundtrip"] - bpb["prequant"]


def _bytes(artifact: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from ((f"bytes/{kind}", artifact.get(key)) for kind, key in _BYTES.items())
    if "cap_bytes" in artifact and "bytes_total" in artifact:
        yield "bytes/left", artifact["cap_bytes"] - artifact["bytes_total"]


def _certificate(certificate: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from ((f"certificate/{name}", certificate.get(name)) for name in _CERTIFICATE)
    probes = certificate.get("probes") or ()
    failed = [f"({probe['letter']}) {probe['name']}" for probe in probes if not probe["passed"]]
    yield "certificate/failed", ", ".join(failed)
    for probe in probes:
        if probe["letter"] == _PREFIX_ONLY:
            measured = probe["measured"]
            yield "certificate/n", measured.get("uniform")
            yield "certificate/bound", measured.get("bound")
            yield "certificate/looked_at", measured.get("looked_at")
