"""One complete sample run, as the stages of the pipeline would hand it over."""

from types import SimpleNamespace

import pytest

from pgolf.core.results import Artifact, Certificate, ProbeResult, Score, TrainResult
from pgolf.track.result import ModelFacts, RunFacts, build_result


def score(loss, bpb, split, subset, method="non_overlapping", window=512, stride=512):
    sums = (0.0, 1.0, 1.0 + 2e-7, bpb, bpb)  # side bits, Σp, claimed, renormalised
    return Score(loss, bpb, *sums, method, window, stride, "raw", split, subset, 254_112, 936_963, 8.1, True)


def make_sample(folder, *, status="finished", reason="", subset=False, over=0, broken=False, seconds=299.9):
    scores = {
        "prequant": score(3.1, 1.2361, "dev", subset),
        "roundtrip": score(3.12, 1.2437, "dev", subset),
        "dev": score(3.08, 1.2206, "dev", subset, "sliding", 512, 128),
        "final": score(3.07, 1.2187, "val", subset, "sliding", 512, 128),
    }
    roles = {"matrix": 700_100, "embedding": 45_000, "fp32": 6_100}
    artifact = Artifact(
        path=folder / "artifact.pgolf",
        bytes_total=1_000_000 + over if over else 812_345,
        bytes_weights=751_200,
        bytes_code=42_912,
        bytes_tokenizer=18_233,
        bytes_by_role=roles,
        cap_bytes=1_000_000,
        counts_tokenizer=True,
        code_label="bundle",
        sha256="3f9c21ab" * 8,
        code_sha256="ab3f9c21" * 8,
    )
    probes = (
        ProbeResult("a", "normalised", True, {"positions": 1024, "largest_error": 2.4e-7}, "", 1.2),
        ProbeResult("b", "causal", not broken, {"changed": 3}, "input 7 changed output 6" if broken else "", 3.4),
    )
    certificate = Certificate(probes, "raw", "A", "landlock 7", "counted script")
    train = TrainResult({}, seconds, 1812, 8_279_381, "wallclock")
    result = build_result(
        status=status,
        reason=reason,
        run=RunFacts("baseline-int6_rtn-3f9c21", 1337, 1, "a" * 40, True, "3f9c21", "python train.py"),
        budget={"name": "laptop", "train_seconds": 300, "eval_seconds": 300, "cap_bytes": 1_000_000},
        ledger={"prepare": 3.1, "train": seconds, "pack": 2.2, "evaluate": 61.3, "certify": 17.5},
        model=ModelFacts(1_600_000, "laptop"),
        train=train,
        artifact=artifact,
        scores=scores,
        certificate=certificate,
    )
    return SimpleNamespace(result=result, artifact=artifact, certificate=certificate, train=train)


@pytest.fixture
def sample(tmp_path):
    """A function making the sample with changes; its folder is ``tmp_path``."""
    return lambda **changes: make_sample(tmp_path, **changes)
