"""The order in which lanes are predicted: were it the scorer's choice, it would say what tokens are."""

from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
import pytest

from pgolf.eval.coder import Enough
from pgolf.eval.documents import DocumentsApart
from pgolf.eval.sealed import Refused, _Listening
from pgolf.eval.sliding import Sliding
from pgolf.eval.streaming import Streaming
from pgolf.proof.audit import Judge
from pgolf.proof.cheats import by_name
from tests.proof.making import DOCUMENTS, network_evaluation, pretend_sealed, stream_of

V, HALF = 4, 200
TOKENS = np.random.default_rng(0).integers(0, V, 2 * HALF + 1)
BITS = 16.0


def told_by_turns():
    """Of each two targets at one place that of lane 1 comes first where that of lane 0 is one of the upper half."""
    first = np.arange(HALF)
    upper = TOKENS[1 : HALF + 1] >= V // 2
    return np.stack([first + HALF * upper, first + HALF * ~upper], 1).ravel()


def prices():
    """Of lane 0 a bit less than the tokens cost."""
    return np.where(np.arange(2 * HALF) < HALF, np.log(V // 2), np.log(V))


def test_an_audited_process_would_find_in_the_scorers_order_what_it_is_not_told():
    made = Judge(TOKENS, prices(), np.arange(2 * HALF), V, place_I=told_by_turns())
    made.answer({"ready": True, "lane_starts": [0, HALF], "side_bits": BITS}, b"")
    known = [0, 0]
    with pytest.raises(Enough):
        while True:
            known = [known[lane] + len(made.answer({"ask": [lane, known[lane], HALF]}, b"")) for lane in (0, 1)]
            lane = 0 if made._next_drawn() < HALF else 1
            row = np.full(V, 1 / V, dtype="<f4")
            if lane == 0:
                upper = known[1] > known[0]
                row = np.repeat([0.0, 1.0] if upper else [1.0, 0.0], V // 2).astype("<f4") / (V // 2)
            made.answer({"row": made._next_drawn()}, row.tobytes())
            known[lane] += 1
    assert max(abs(difference) for difference, _, _ in made.found.values()) < 1e-6


def scoring(order, starts=(0, HALF)):
    made = _Listening(TOKENS, None)
    made.answer({"ready": True, "lane_starts": starts, "side_bits": BITS * (len(starts) - 1)}, b"")
    for some in np.array_split(order, 7):
        numbers = np.stack([some.astype(np.float64), np.zeros(len(some)), np.ones(len(some))])
        made.answer({"scores": len(some)}, numbers.astype("<f8").tobytes())
    return made.place_I


def test_the_scorer_has_no_choice_which_lane_comes_next():
    in_turn = np.arange(2 * HALF).reshape(2, HALF).T.ravel()
    assert (scoring(in_turn) == in_turn).all()
    for order in (told_by_turns(), np.arange(2 * HALF), in_turn[::-1]):
        with pytest.raises(Refused, match="lanes go in turn"):
            scoring(order)
    with pytest.raises(Refused, match="lanes go in turn"):
        scoring(np.r_[1, 0, 2 : 2 * HALF], starts=[0])


def test_the_cheat_that_chooses_turns_gains_half_a_bit_a_token_and_has_no_choice():
    evaluation, cheat = network_evaluation(), by_name("chooses_turns")
    two_lanes = replace(evaluation, method=Sliding(**{**vars(evaluation.method), "lanes": 2}))
    tokens_N = stream_of(evaluation, DOCUMENTS)
    honest, claimed = pretend_sealed(two_lanes, tokens_N), pretend_sealed(cheat.apply(evaluation), tokens_N)
    assert claimed.side_bits == honest.side_bits
    gain_N = honest.nll_nats_N - claimed.nll_nats_N
    first = gain_N[: claimed.lane_starts[1]]
    assert gain_N.min() > -1e-9 and not gain_N[claimed.lane_starts[1] + 1 :].any() and first.mean() > 0.3
    listening = _Listening(tokens_N, None)
    listening.answer({"ready": True, "lane_starts": claimed.lane_starts, "side_bits": claimed.side_bits}, b"")
    numbers = np.stack([claimed.place_I, claimed.nll_nats_N[claimed.place_I], np.ones(len(claimed.place_I))])
    with pytest.raises(Refused, match="lanes go in turn"):
        listening.answer({"scores": len(claimed.place_I)}, numbers.astype("<f8").tobytes())


@pytest.mark.parametrize("lanes", [1, 3, 4])
@pytest.mark.parametrize("name", ["documents", "longest_first", "sliding", "streaming"])
def test_every_plan_goes_in_turn(name, lanes):
    """Of numbers of targets that 3 and 4 divide or not, in blocks that end before lanes do or not."""
    beside = {"batch_documents": lanes, "batch_windows": 2, "official_truncation": False}
    method = {
        "documents": lambda: DocumentsApart(window=8, stride=4, order="stream", **beside),
        "longest_first": lambda: DocumentsApart(window=8, stride=4, order="longest_first", **beside),
        "sliding": lambda: Sliding(window=8, stride=4, batch_windows=2, lanes=lanes, official_truncation=False),
        "streaming": lambda: Streaming(window=32, block=32, batch_blocks=2, lanes=lanes, official_truncation=False),
    }[name]()
    for targets in (128, 129, 131) if name == "streaming" else (51, 52, 53):
        evaluation = network_evaluation(method=method)
        tokens_N = np.random.default_rng(targets).integers(0, 256, targets + 1)
        tokens_N[[0, 9, 10, 30]] = evaluation.tokenizer.bos_id
        place_I = pretend_sealed(evaluation, tokens_N).place_I
        listening, plan = _Listening(tokens_N, None), evaluation.evaluator(len(tokens_N)).plan
        said = plan.lane_starts if isinstance(plan.lane_starts, Sequence) else asdict(plan.lane_starts)
        listening.answer({"ready": True, "lane_starts": said, "side_bits": plan.side_bits}, b"")
        assert (np.diff(listening.telling.due(place_I)) > 0).all() and len(place_I) == targets
