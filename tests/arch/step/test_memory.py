"""Places, windows and bands of positions that come in blocks, against lists.

Shapes: B sequences, T places, S blocks, Q positions of a block, E places before and in a block.
"""

import pytest
import torch

from pgolf.arch.step.memory import VECTOR, LastInputs, Past, Step, join

WINDOW, BLOCK = 40, VECTOR


def begun(past, count):
    past.begin(torch.arange(past.start, past.start + count)[None] + 1)
    return past


def seen_by_lists(start, count, window):
    """For each new position the positions that it sees."""
    return [[p for p in range(max(0, t - window + 1), t + 1)] for t in range(start, start + count)]


@pytest.mark.parametrize("sizes", [[32, 32, 32, 7], [64, 96, 3], [5]])
def test_windows_and_band_are_the_last_positions_of_each(sizes):
    past = Past(WINDOW, BLOCK)
    for count in sizes:
        begun(past, count)
        ids_SE = past.windows(past.ids_BT)
        causal_QE = torch.ones(past.size, past.length, dtype=torch.bool).tril(past.length - past.size)
        band_SQE = (past.band() & causal_QE).expand(len(ids_SE), -1, -1)
        found = [
            (ids_E[band_E] - 1).tolist() for ids_E, band_QE in zip(ids_SE, band_SQE, strict=True) for band_E in band_QE
        ]
        assert found == seen_by_lists(past.start, count, WINDOW)
        past.commit()
    assert past.start == sum(sizes)


def test_blocks_are_undone_by_joined():
    past = begun(Past(WINDOW, BLOCK), 3 * BLOCK)
    x_BND = torch.arange(6 * BLOCK).view(1, 3 * BLOCK, 2)
    assert past.blocks(x_BND).shape == (3, BLOCK, 2)
    assert torch.equal(past.joined(past.blocks(x_BND)), x_BND)


@pytest.mark.parametrize("count", [BLOCK + 1, 2 * BLOCK - 1])
def test_positions_that_are_no_whole_blocks_are_refused(count):
    with pytest.raises(ValueError, match=f"{count} positions are no blocks of {BLOCK}"):
        begun(Past(WINDOW, BLOCK), count)


def test_what_all_share_is_made_once_in_a_pass():
    past, made = Past(), []
    for _ in range(2):
        begun(past, 1)
        assert past.once("it", lambda: made.append(1)) == past.once("it", lambda: made.append(2))
        past.commit()
    assert made == [1, 1]


class Counting(Step):
    def step(self, memory, x):
        return x + (memory or 0), (memory or 0) + x


def test_each_call_of_a_pass_has_a_memory_of_its_own_and_an_uncommitted_one_is_dropped():
    step = Counting(Past(), None)
    step.begin()
    assert (step(1), step(10)) == (1, 10)
    step.begin()
    assert (step(2), step(20)) == (2, 20)  # tried again
    step.commit()
    step.begin()
    assert (step(3), step(30)) == (5, 50)


@pytest.mark.parametrize(("past", "kept"), [(Past(), 2), (Past(WINDOW, BLOCK), VECTOR)])
def test_last_inputs_gives_the_method_what_it_reaches(past, kept):
    def before(x_BT, other):
        assert other == "as it is"
        return torch.nn.functional.pad(x_BT[:, :-2], (2, 0))

    step, x_BT, found = LastInputs(past, before, 2), torch.arange(1, 97)[None], []
    for piece in x_BT.split(BLOCK, 1):
        step.begin()
        found.append(step(piece, "as it is"))
        step.commit()
        assert step.memories[0][0].size(1) == kept
    assert torch.equal(torch.cat(found, 1), before(x_BT, "as it is"))


def test_join_begins_with_nothing():
    x = torch.ones(1, 2)
    assert join(None, x) is x and join(x, x).shape == (1, 4)
