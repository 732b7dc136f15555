"""Both ends of the sealed process's pipes, joined in this process."""

import os
import threading
from contextlib import ExitStack

import numpy as np
import pytest

from pgolf.core.prediction import Facts, Span
from pgolf.eval import sealed as road
from pgolf.eval.evaluator import Evaluator
from pgolf.eval.network import FixedNetwork
from pgolf.eval.remote import Line, RemoteAuditor, RemoteScorer
from pgolf.eval.scorer import Scorer
from pgolf.eval.sealed import Refused, Telling
from pgolf.eval.slots import DoubleScore
from pgolf.proof.audit import Judge
from tests.eval.fakes import Bigram, Counting, Lanes
from tests.eval.kernels import blend, unigram

V, TARGETS = 11, 60
TOKENS_N = np.random.default_rng(0).integers(1, V, TARGETS + 1).astype(np.uint16)
LANES = {"one lane": (0,), "lockstep": (0, 20, 40)}


def plan_of(how):
    return Lanes(TARGETS, LANES[how], window=8, stride=4)


def evaluator_of(how, network=None, stages=0):
    facts = Facts(V, 1, TARGETS + 1)
    plan = plan_of(how)
    chain = [unigram(V, len(plan.lane_starts)), blend(experts=1)][:stages]
    return Evaluator(network or FixedNetwork(Bigram(V)), plan, facts, chain)


def converse(serve, answering):
    """``serve`` a line in a thread of its own, as a sealed process would, and answer it here; its last message."""
    with ExitStack() as stack:
        ends = [os.pipe(), os.pipe()]
        (theirs_in, ours_out), (ours_in, theirs_out) = [
            (stack.enter_context(os.fdopen(read, "rb")), stack.enter_context(os.fdopen(write, "wb")))
            for read, write in ends
        ]
        failed = []

        def child():
            line = Line(theirs_in, theirs_out)
            try:
                serve(line)
                line.say({"ended": "done"})
            except EOFError:
                pass
            except BaseException as error:
                failed.append(error)
            theirs_out.close()

        thread = threading.Thread(target=child)
        thread.start()
        try:
            return road._converse(ours_out, ours_in, answering)
        finally:
            ours_out.close()
            thread.join()
            assert not failed, failed


def running(evaluator, coder):
    plan = evaluator.plan
    return lambda line: evaluator.run(coder(line), line.open(plan.lane_starts, plan.side_bits))


# --- scoring ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stages", [0, 2])
@pytest.mark.parametrize("how", list(LANES))
def test_a_remote_scorer_prices_as_one_that_has_the_stream(how, stages):
    seen = []
    listening = road._Listening(TOKENS_N, lambda label, done, total: seen.append((label, done, total)))
    assert converse(running(evaluator_of(how, stages=stages), RemoteScorer), listening) == {"ended": "done"}
    own, evaluator = Scorer(TOKENS_N, LANES[how]), evaluator_of(how, stages=stages)
    evaluator.run(own, own.first_tokens)
    assert np.array_equal(listening.nll_nats.values_N, own.nll_nats.values_N)
    assert np.array_equal(listening.sums.values_N, own.sums.values_N)
    assert listening.telling.side_bits == 16 * (len(LANES[how]) - 1)
    assert seen[-1] == ("validation", TARGETS, TARGETS) and [done for _, done, _ in seen] == sorted(
        {done for _, done, _ in seen}
    )


def test_a_remote_scorer_has_all_tokens_told():
    with pytest.raises(AssertionError):
        RemoteScorer(None).draw(0, np.ones(V, dtype=np.float32))
    assert RemoteScorer(None).wants(Span(0, 0, 0, 4))


def test_a_second_price_for_a_target_is_refused():
    def serve(line):
        coder = RemoteScorer(line)
        line.open((0,), 0.0)
        rows = Row(np.full(V, 1 / V, dtype=np.float32))
        coder.settle(np.array([3]), rows, np.array([1]))
        coder.settle(np.array([3]), rows, np.array([1]))

    with pytest.raises(DoubleScore, match="position 3 was scored already"):
        converse(serve, road._Listening(TOKENS_N, None))


class Row:
    def __init__(self, row_V):
        self.row_V = row_V

    def nll_nats(self, token_I):
        return -np.log(self.row_V[token_I].astype(np.float64))

    def sums(self):
        return np.array([self.row_V.sum(dtype=np.float64)])


def test_a_price_that_is_not_a_number_leaves_its_slot_open():
    listening = road._Listening(TOKENS_N, None)
    listening.answer({"ready": True, "lane_starts": [0], "side_bits": 0.0}, b"")
    numbers = np.array([[4.0, 5.0, 6.0], [1.0, np.nan, 3.0], [1.0, 1.0, 1.0]])
    listening.answer({"scores": 3}, numbers.astype("<f8").tobytes())
    assert listening.nll_nats.writes_N[4:7].tolist() == [1, 0, 1]
    assert listening.sums.writes_N[4:7].tolist() == [1, 1, 1]


@pytest.mark.parametrize("message", [{"row": 3}, {"hello": 1}, {}])
def test_a_scorer_that_says_something_else_is_refused(message):
    with pytest.raises(Refused, match="no answer of a scorer"):
        road._Listening(TOKENS_N, None).answer(message, b"")


# --- being audited ----------------------------------------------------------------------------------------------


def judge_of(drawn, nll_nats_N=None, place_I=None):
    nll_nats_N = np.zeros(TARGETS) if nll_nats_N is None else nll_nats_N
    return Judge(TOKENS_N, nll_nats_N, np.array(drawn), V, place_I=place_I)


def listened(how, network=None, stages=0):
    """What the judge has heard of a scorer."""
    listening = road._Listening(TOKENS_N, None)
    converse(running(evaluator_of(how, network, stages=stages), RemoteScorer), listening)
    return listening


class Watching(Judge):
    """A judge that writes down what has been told, and what was when each row came."""

    def __post_init__(self):
        super().__post_init__()
        self.told_at = {}

    def answer(self, message, payload):
        if "row" in message:
            self.told_at[message["row"]] = [
                start + told for start, told in zip(self.telling.lane_starts, self.telling.told, strict=True)
            ]
        return super().answer(message, payload)


@pytest.mark.parametrize("drawn", [[0], [7, 8, 30], [19, 20, 39, 40, 58], range(TARGETS)])
@pytest.mark.parametrize("stages", [0, 2])
@pytest.mark.parametrize("how", list(LANES))
def test_an_audited_process_hands_over_the_rows_that_score(how, stages, drawn):
    own = listened(how, stages=stages)
    judge = Watching(TOKENS_N, own.nll_nats.values_N, np.array(drawn), V, place_I=own.place_I)
    assert converse(running(evaluator_of(how, stages=stages), RemoteAuditor), judge) == {"ended": "done"}
    assert sorted(judge.found) == list(drawn)
    difference, total, least = np.array([judge.found[place] for place in drawn]).T
    np.testing.assert_allclose(difference, 0.0, atol=1e-6)
    np.testing.assert_allclose(total, 1.0, atol=1e-5)
    assert (least > 0).all()
    starts, turn = LANES[how], {int(place): turn for turn, place in enumerate(own.place_I)}
    for place, told in judge.told_at.items():  # the targets told end right before it, in every lane
        lane = max(lane for lane, start in enumerate(starts) if start <= place)
        assert told[lane] == place
        assert all(
            turn[other] < turn[place] for start, end in zip(starts, told, strict=True) for other in range(start, end)
        )


@pytest.mark.parametrize("how", list(LANES))
def test_an_audited_network_that_learns_hands_over_the_rows_that_score(how):
    own = listened(how, Counting(V))
    judge = judge_of(range(0, TARGETS, 3), own.nll_nats.values_N, own.place_I)
    converse(running(evaluator_of(how, Counting(V)), RemoteAuditor), judge)
    assert len(judge.found) == 20
    assert max(abs(difference) for difference, _, _ in judge.found.values()) < 1e-5


def test_where_nothing_learns_an_audit_makes_the_rows_it_is_asked_for_and_no_others():
    class Watched(FixedNetwork):
        made = 0

        def log_probs(self, batch, wanted=()):
            self.made += len(batch.blocks)
            return super().log_probs(batch, wanted)

    network = Watched(Bigram(V))
    converse(running(evaluator_of("one lane", network), RemoteAuditor), judge_of([9, 30]))
    assert network.made == 2


def test_a_row_that_was_not_asked_for_is_refused():
    def serve(line):
        line.open((0,), 0.0)
        line.ask(Span(0, 0, 0, 8))
        line.hand_over(4, np.ones(V, dtype=np.float32))

    with pytest.raises(Refused, match="handed over a row for position 4"):
        converse(serve, judge_of([5]))


@pytest.mark.parametrize("size", [0, V - 1, V + 1])
def test_a_row_of_another_size_is_refused(size):
    def serve(line):
        line.open((0,), 0.0)
        line.hand_over(0, np.ones(size, dtype=np.float32))

    with pytest.raises(Refused, match=f"a row of {size} entries for a vocabulary of {V}"):
        converse(serve, judge_of([0]))


@pytest.mark.parametrize("block", [Span(0, 0, 0, 8), Span(0, 0, 5, 8), Span(0, 0, 0, TARGETS)])
def test_asking_again_tells_nothing_more_before_the_row_is_there(block):
    told = []

    def serve(line):
        line.open((0,), 0.0)
        line.ask(Span(0, 0, 0, 5))
        told.extend(line.ask(block).tolist() for _ in range(3))
        assert line.hand_over(5, np.full(V, 1 / V, dtype=np.float32)) == TOKENS_N[6]
        assert line.ask(Span(0, 0, 6, 8)).tolist() == TOKENS_N[7:9].tolist()

    converse(serve, judge_of([5, 9]))
    assert told == [TOKENS_N[block.start + 1 : 6].tolist()] * 3


# --- what is told -----------------------------------------------------------------------------------------------


def opened(lane_starts=(0,), side_bits=0.0):
    telling = Telling(TOKENS_N)
    first = telling.open({"lane_starts": list(lane_starts), "side_bits": side_bits})
    assert first.tolist() == TOKENS_N[list(lane_starts)].tolist()
    return telling


def asked(telling, lane, start, stop, stop_at=None):
    return telling.targets({"ask": [lane, start, stop]}, stop_at).tolist()


def test_a_block_is_told_in_its_turn_and_again():
    telling = opened()
    assert asked(telling, 0, 0, 8) == TOKENS_N[1:9].tolist()
    assert asked(telling, 0, 4, 12) == TOKENS_N[5:13].tolist()
    assert asked(telling, 0, 0, 3) == TOKENS_N[1:4].tolist()
    assert telling.told == [12] and telling.place(0) == 12
    assert telling.one(0).tolist() == [TOKENS_N[13]] and telling.place(0) == 13


@pytest.mark.parametrize(
    ("lane", "start", "stop"),
    [(0, 1, 4), (0, -1, 4), (0, 0, TARGETS + 1), (1, 0, 4), (-1, 0, 4), (0, TARGETS, TARGETS)],
)
def test_asks_out_of_turn_are_refused(lane, start, stop):
    with pytest.raises(Refused, match="out of turn"):
        asked(opened(), lane, start, stop)


def test_nothing_is_told_before_the_plan_is_said():
    with pytest.raises(Refused, match="out of turn"):
        asked(Telling(TOKENS_N), 0, 0, 4)


def test_the_plan_is_said_once():
    """Who says another could have every token as the first of some lane, and then none of them to pay for."""
    telling = opened(range(TARGETS), 16.0 * (TARGETS - 1))
    with pytest.raises(Refused):
        telling.open({"lane_starts": [0], "side_bits": 0.0})
    assert telling.side_bits == 16.0 * (TARGETS - 1) and len(telling.told) == TARGETS


@pytest.mark.parametrize("stop_at", [0, 1, 5, 8, 9, 30, TARGETS])
@pytest.mark.parametrize("told", [0, 3, 8])
def test_no_target_is_told_at_or_after_the_place_that_is_looked_at(told, stop_at):
    telling = opened()
    asked(telling, 0, 0, told)
    before = telling.told[0]
    for start, stop in ((0, 8), (told, told + 9), (told, TARGETS), (0, 0), (told, told)):
        if start <= telling.told[0]:
            found = asked(telling, 0, start, stop, stop_at)
            assert found == TOKENS_N[start + 1 : max(start, min(stop, stop_at)) + 1].tolist()
    assert telling.told[0] <= max(before, stop_at)


def test_lanes_are_told_each_in_its_own_order_up_to_where_the_next_begins():
    telling = opened((0, 20, 40), 32.0)
    assert asked(telling, 1, 0, 8) == TOKENS_N[21:29].tolist()
    assert asked(telling, 0, 0, 20, stop_at=25) == TOKENS_N[1:21].tolist()
    assert asked(telling, 2, 0, 19, stop_at=45) == TOKENS_N[41:46].tolist()
    assert [telling.place(lane) for lane in range(3)] == [20, 28, 45]
    with pytest.raises(Refused):
        asked(telling, 0, 20, 21)  # the next lane's
    with pytest.raises(Refused):
        asked(telling, 1, 9, 10)


@pytest.mark.parametrize("lanes", [1, 2, 5])
def test_each_lane_but_the_first_wants_the_bits_of_its_first_token(lanes):
    """It is the last target of the lane before, which a decoder does not know yet."""
    starts, bits = list(range(0, 10 * lanes, 10)), 16.0 * (lanes - 1)
    assert opened(starts, bits).side_bits == bits
    assert opened(starts, bits + 100).side_bits == bits + 100
    for other in (bits - 0.5, -1.0, float("nan"), float("inf")):
        with pytest.raises(Refused, match=f"{lanes} lanes want {bits:g} bits"):
            opened(starts, other)


@pytest.mark.parametrize(
    "starts", [(), (1,), (0, 0), (0, 9, 5), (0, TARGETS), (0, 2 * TARGETS), (0, -3), (-1, 5)], ids=str
)
def test_lanes_that_are_none_of_the_stream_are_refused(starts):
    with pytest.raises(Refused, match="are none of a stream"):
        Telling(TOKENS_N).open({"lane_starts": starts, "side_bits": 1e6})
