"""Promotion goes where it saves most error per byte, and no further than the bytes allow."""

import pytest
import torch

from pgolf.quant.entropy import SCALE_BYTES
from pgolf.quant.tensor_info import Evidence
from tests.quant.nodes import (
    MATRIX,
    by_name,
    calibration,
    correlated,
    decoded,
    entropy,
    hessian,
    policy,
    quantizer,
    weights,
)
from tests.quant.policy.models import infos

INFOS = infos()
MATRICES = [info.name for info in INFOS if info.is_matrix]


def promoted(saved, cost=None, byte_share=0.5):
    """``saved`` and ``cost`` of each matrix's promotion, by name."""
    cost = cost or dict.fromkeys(MATRICES, 8.0)
    evidence = Evidence(
        {},
        {},
        error=lambda name, bits: saved.get(name, 0.0) * (6 - bits),
        bytes=lambda name, bits: cost[name] * (bits - 5),
    )
    found = policy("error_per_byte", bits=5, byte_share=byte_share).treatments(INFOS, evidence)
    return {name for name, treatment in found.items() if treatment.bits == 6}


def test_the_best_gains_are_promoted():
    saved = {name: float(i) for i, name in enumerate(MATRICES)}
    assert promoted(saved, byte_share=3 / len(MATRICES)) == set(MATRICES[-3:])


def test_a_gain_counts_by_the_byte():
    cheap, dear = MATRICES[0], MATRICES[1]
    cost = dict.fromkeys(MATRICES, 4.0) | {cheap: 2.0, dear: 20.0}
    share = 2.0 / sum(cost.values())
    assert promoted({cheap: 1.0, dear: 9.0}, cost, share) == {cheap}


@pytest.mark.parametrize("byte_share", [0.0, 0.3, 0.77, 1.0])
def test_the_bytes_spent_never_exceed_the_share(byte_share):
    cost = {name: 3.0 + i for i, name in enumerate(MATRICES)}
    found = promoted({name: 1.0 for name in MATRICES}, cost, byte_share)
    assert sum(cost[name] for name in found) <= byte_share * sum(cost.values()) * (1 + 1e-12)
    assert (len(found) == len(MATRICES)) == (byte_share == 1.0)


def test_ties_go_by_name():
    assert promoted({}, byte_share=2 / len(MATRICES)) == set(MATRICES[:2])


def test_without_evidence_the_share_is_spent_by_size():
    found = policy("error_per_byte", bits=5, byte_share=0.5).treatments(INFOS, None)
    sizes = {info.name: info.elements for info in INFOS if info.is_matrix}
    spent = sum(sizes[name] for name in sizes if found[name].bits == 6)
    assert 0.4 * sum(sizes.values()) < spent <= 0.5 * sum(sizes.values())


def test_a_matrix_with_large_inputs_is_promoted_before_an_equal_one():
    h = hessian(correlated(16))
    state = {"a": weights(24, 16, 1), "b": weights(24, 16, 2), "c": weights(24, 16, 3)}
    gptq = quantizer("mixed_gptq")
    found = by_name(
        gptq.quantize(
            state,
            dict.fromkeys(state, MATRIX),
            calibration=calibration({"a": h, "b": 100 * h, "c": h}),
        )
    )
    assert [found[name].bits for name in "abc"] == [5, 6, 5]


def test_the_evidence_is_the_hessian_weighted_error_and_the_entropy():
    h, w = hessian(correlated(16)), weights(24, 16)
    gptq = quantizer("gptq", scale="sdclip")
    (info,) = [info for info in INFOS if info.name == "layers.0.mlp.up.weight"]
    evidence = gptq.pipeline._evidence({info.name: w}, {info.name: h}, [info])
    (stored,) = quantizer("rtn", bits=5, scale="sdclip").quantize({"w": w}, {"w": MATRIX}).tensors
    error = w.double() - decoded(stored)
    assert evidence.error(info.name, 5) == pytest.approx(float(torch.trace(error @ h.double() @ error.T)), rel=1e-4)
    size = w.numel() * entropy(stored.arrays["q"]) / 8 + SCALE_BYTES * 24
    assert evidence.bytes(info.name, 5) == pytest.approx(size)
    assert evidence.error(info.name, 6) < evidence.error(info.name, 5)
