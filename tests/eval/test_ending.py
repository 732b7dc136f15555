"""Lanes that end with a token. The references cut a list of tokens by hand."""

import math
from itertools import chain

import numpy as np
import pytest

from pgolf.core.prediction import Span
from pgolf.eval.ending import Ending
from pgolf.eval.sealed import Refused, Telling

BOS = 1
TEXTS = [[5, 6, 7], [], [8, 9, 2, 3, 4], [6]]
TOKENS_N = np.array([token for text in TEXTS for token in (BOS, *text)], dtype=np.uint16)
TARGETS = len(TOKENS_N) - 1
LANES = [[5, 6, 7, BOS], [BOS], [8, 9, 2, 3, 4, BOS], [6]]  # the targets of each, by hand
STREAMS = {
    "an empty document inside": TOKENS_N,
    "a last token that begins nothing": np.array([BOS, 4, BOS, 5, BOS]),
    "one document": np.array([BOS, 4, 5]),
    "one that does not begin with its token": np.array([7, 4, BOS, 5]),
    "nothing but beginnings": np.array([BOS] * 5),
}


def ending(tokens_N=TOKENS_N, beside=2, **changes):
    return Ending(BOS, len(tokens_N) - 1, beside, **changes)


def test_every_target_belongs_to_one_lane_that_ends_with_the_token():
    for tokens_N in STREAMS.values():
        cut = ending(tokens_N).cut(tokens_N)
        lanes = [tokens_N[s + 1 : s + 1 + n].tolist() for s, n in zip(cut.start_D, cut.size_D, strict=True)]
        assert list(chain.from_iterable(lanes)) == tokens_N[1:].tolist()
        assert all(BOS not in lane[:-1] for lane in lanes) and all(lane[-1] == BOS for lane in lanes[:-1])
    cut = ending().cut(TOKENS_N)
    assert [TOKENS_N[s + 1 : s + 1 + n].tolist() for s, n in zip(cut.start_D, cut.size_D, strict=True)] == LANES


@pytest.mark.parametrize("longest_first", [False, True])
@pytest.mark.parametrize("name", STREAMS)
def test_who_is_told_no_more_than_is_charged_finds_every_lane_and_the_stream(name, longest_first):
    """Blocks of three, whose tokens are revealed as far as the lane goes, by who does not know how far that is."""
    tokens_N = STREAMS[name]
    for beside in (1, 2):
        how = ending(tokens_N, beside, longest_first=longest_first)
        cut, lane = how.cut(tokens_N), 0
        tape = how.tape(cut.told)
        while tape.begin(lane):
            first, start = cut.start_D[lane] + 1, 0
            while tape.goes_on(lane):
                block = Span(lane, 0, start, start + 3)
                assert tape.fits(block) and len(tape.inputs(block)) == block.length
                tape.append(lane, tokens_N[first + start : first + start + 3].astype(np.int64))  # what follows too
                start = tape.end(block)
                assert tape.known(lane) == start and tape.targets(block)[: start - block.start].all()
            assert start == cut.size_D[lane] and not tape.fits(Span(lane, 0, start, start + 1))
            lane += 1
        assert lane == len(cut.start_D)
        assert tape.stream().tolist() == tokens_N[1:].tolist()
        sizes = cut.size_D.tolist()
        assert not longest_first or sizes == sorted(sizes, reverse=True)


def test_what_is_told_is_charged_and_one_lane_after_the_other_wants_nothing():
    told = ending(beside=1).cut(TOKENS_N)
    assert (told.told, told.side_bits) == ((), 0.0)
    bits = math.ceil(math.log2(TARGETS))
    assert ending(beside=2).cut(TOKENS_N).side_bits == ending(beside=64).cut(TOKENS_N).side_bits == 2 * bits
    order = math.ceil(math.log2(math.factorial(4)))
    assert ending(beside=1, longest_first=True).cut(TOKENS_N).side_bits == 2 * bits + order
    large = np.tile(TOKENS_N, 9000)
    count, size = len(ending(large).cut(large).start_D), 1
    assert ending(large).cut(large).told == (*divmod(count, 1 << 16), *divmod(size, 1 << 16))


def test_who_is_told_something_else_is_refused():
    none, many, empty, long = (0, 0, 0, 1), (9, 0, 0, 1), (0, 4, 0, 0), (0, 4, 9, 0)  # lanes; targets of the last one
    for told in ((), (0, 4), (0, 4, 0), (0, 4, 0, 1, 0, 0), none, many, empty, long):
        with pytest.raises(ValueError):
            ending().tape(told)
    with pytest.raises(ValueError, match="were told of lanes"):
        ending(longest_first=True).tape((0, 2, 0, 1, 0, 1, 0, 1))


def test_bytes_that_nobody_wrote_end_in_an_error_and_not_in_a_lane_without_an_end():
    tape = ending().tape(ending().cut(TOKENS_N).told)
    tape.begin(0)
    tape.append(0, np.full(TARGETS - 1, 5))
    tape.begin(1)
    tape.append(1, np.full(1, 5))
    with pytest.raises(ValueError, match="lane 3 begins after 2"):
        tape.count, tape._left = 9, 1
        tape.begin(3)
    tape._left = 0
    with pytest.raises(ValueError, match="more than the 12 targets"):
        tape.append(0, np.full(1, 5))


# --- who holds the stream and tells it ------------------------------------------------------------------------------


def opened(beside=2, place_I=None, **changes):
    telling = Telling(TOKENS_N, place_I=place_I)
    said = {"token": BOS, "targets": TARGETS, "beside": beside, "longest_first": False} | changes
    told = telling.open({"ready": True, "lane_starts": said, "side_bits": 0.0})
    return telling, told.tolist()


def test_the_judge_tells_how_many_there_are_and_how_long_the_last_is_and_charges_for_it():
    telling, told = opened()
    assert (told, telling.side_bits) == ([0, 4, 0, 1], 8.0)
    assert opened(beside=1)[1] == [] and opened(beside=1)[0].side_bits == 0.0
    assert telling.lane_starts == (0, 4, 5, 11)


def test_a_block_is_told_up_to_the_end_of_its_lane():
    telling, _ = opened()
    assert telling.targets({"ask": [0, 0, 3]}).tolist() == [5, 6, 7]
    assert telling.targets({"ask": [0, 3, 6]}).tolist() == [BOS]
    assert telling.targets({"ask": [2, 0, 4]}).tolist() == [8, 9, 2, 3]


def test_nothing_is_told_that_was_scored_after_the_place_that_is_looked_at():
    """Lanes 0 and 2 were scored beside each other, then the others."""
    order = [0, 5, 1, 6, 2, 7, 3, 8, 9, 10, 4, 11]
    telling, _ = opened(place_I=np.array(order))
    assert telling.targets({"ask": [2, 0, 8]}, stop_at=2).tolist() == [8, 9]
    assert telling.targets({"ask": [0, 0, 8]}, stop_at=2).tolist() == [5, 6]
    assert telling.lane_at(telling.place_of(0 * TARGETS + 2)) == 0
    assert telling.one(0).tolist() == [7]
    assert telling.lane_at(telling.place_of(2 * TARGETS + 2)) == 2


def test_addresses_that_no_lane_has_are_refused():
    telling, _ = opened()
    assert telling.places(np.array([2 * TARGETS + 5])).tolist() == [10]
    for address in (TARGETS + 1, 4 * TARGETS, -1):
        with pytest.raises(Refused, match="no lane has"):
            telling.places(np.array([address]))


def test_who_is_told_nothing_cannot_look_for_the_next_lane_before_the_one_at_hand_has_ended():
    telling, _ = opened(beside=1)
    with pytest.raises(Refused, match="out of turn"):
        telling.targets({"ask": [1, 0, 1]})
    telling.targets({"ask": [0, 0, 9]})
    assert telling.targets({"ask": [1, 0, 9]}).tolist() == [BOS]


def test_other_lanes_than_those_of_who_scored_are_refused():
    telling, _ = opened()
    agreed = telling.lane_starts, telling.side_bits
    said = {"token": BOS, "targets": TARGETS, "beside": 2, "longest_first": False}
    Telling(TOKENS_N, agreed).open({"lane_starts": said, "side_bits": 0.0})
    for changes in ({"token": 6}, {"longest_first": True}, {"beside": 1}):
        with pytest.raises(Refused, match="unlike who scored"):
            Telling(TOKENS_N, agreed).open({"lane_starts": said | changes, "side_bits": 0.0})
