"""The counts are exact, causal and equal to a dictionary's; the distributions sum to one."""

from collections import Counter, defaultdict

import pytest
import torch

from pgolf.arch.addon.count_provider import preceding_counts, witten_bell

HIGHEST = 5


def stream(batch=3, time=40, words=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, words, (batch, time + 1), generator=generator)
    return tokens[:, :-1], tokens[:, 1:]


def by_dictionary(ids, targets, highest):
    found = torch.zeros(3, highest - 1, *ids.shape, dtype=torch.int64)
    seen = defaultdict(Counter)
    for b, row in enumerate(ids.tolist()):
        for t in range(len(row)):
            target = int(targets[b, t])
            for order in range(2, highest + 1):
                if t + 1 < order - 1:
                    continue
                after = seen[tuple(row[t + 2 - order : t + 1])]
                found[:, order - 2, b, t] = torch.tensor([after[target], after.total(), len(+after)])
                after[target] += 1
    return found


@pytest.mark.parametrize("words", [1, 2, 4, 60_000])
def test_counts_equal_a_dictionarys(words):
    ids, targets = stream(words=words)
    assert torch.equal(preceding_counts(ids, targets, HIGHEST), by_dictionary(ids, targets, HIGHEST))


def test_targets_need_not_be_the_next_inputs():
    ids, targets = stream()[0], stream(seed=5)[1]
    assert torch.equal(preceding_counts(ids, targets, HIGHEST), by_dictionary(ids, targets, HIGHEST))


def test_rows_shorter_than_an_order_have_no_counts_of_it():
    ids, targets = stream(batch=9, time=2)
    counts = preceding_counts(ids, targets, HIGHEST)
    assert torch.equal(counts, by_dictionary(ids, targets, HIGHEST)) and not counts[:, 2:].any()


def test_later_tokens_change_nothing():
    ids, targets = stream()
    later_ids, later_targets = ids.clone(), targets.clone()
    later_ids[1, 21:], later_ids[2] = 3 - ids[1, 21:], 3 - ids[2]
    later_targets[1, 20:], later_targets[2] = 3 - targets[1, 20:], 3 - targets[2]
    a, b = (preceding_counts(i, t, HIGHEST) for i, t in ((ids, targets), (later_ids, later_targets)))
    assert torch.equal(a[:, :, 0], b[:, :, 0]) and torch.equal(a[:, :, 1, :20], b[:, :, 1, :20])
    assert torch.equal(a[1:, :, 1, 20], b[1:, :, 1, 20]), "its own target reaches the totals"


@pytest.mark.parametrize("orders", [(2, 3, 4, 5), (2, 4), (5,)])
def test_each_order_sums_to_one_over_the_vocabulary(orders):
    ids, targets = stream(words=4)
    uniform = torch.softmax(torch.arange(4.0), 0)
    total = torch.zeros(len(orders))
    for word in range(4):
        other = targets.clone()
        other[2, 17] = word
        counts = preceding_counts(ids, other, orders[-1])
        p, seen = witten_bell(uniform[other], counts, orders)
        assert seen.shape == p.shape == (3, 40, len(orders))
        total += p[2, 17]
    torch.testing.assert_close(total, torch.ones(len(orders)))


def test_an_unseen_context_hands_its_base_on():
    ids, targets = stream(batch=1, time=6, words=60_000)
    p, seen = witten_bell(torch.full((1, 6), 0.3), preceding_counts(ids, targets, 4), (2, 3, 4))
    assert not seen.any() and torch.equal(p, torch.full((1, 6, 3), 0.3))


def test_witten_bell_is_its_formula():
    counts = torch.tensor([[3], [5], [2]])[:, :, None, None]
    p, seen = witten_bell(torch.tensor([[0.1]]), counts, (2,))
    assert seen.all()
    torch.testing.assert_close(p[0, 0, 0].item(), (3 + 2 * 0.1) / (5 + 2))


def test_the_operator_is_well_formed():
    torch.library.opcheck(preceding_counts, (*stream(), HIGHEST))
