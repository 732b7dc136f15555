"""Counts and information are those of loops; alike words begin alike; the hook adds once, on the training clock."""

import math
from collections import Counter

import numpy as np
import pytest
import torch

from pgolf.core.make import make
from pgolf.hook.wallclock import Wallclock
from pgolf.warm_start.cooccurrence import BEYOND, StartEmbedding, information, pairs
from tests.helpers import VOCAB, tiny_settings
from tests.train.rig import rig

TEXT_N = np.random.default_rng(0).integers(0, 11, 500).astype(np.uint16)


def cooccurrence(*words):
    return make(tiny_settings("warm_start=cooccurrence", *(f"warm_start.{word}" for word in words))["warm_start"])


def dense(rows_P, columns_P, values_P, vocab_size):
    matrix_VV = torch.zeros(vocab_size, vocab_size)
    matrix_VV[rows_P, columns_P] = values_P
    return matrix_VV


def counted(tokens_N, distance):
    """C by a loop over all places."""
    return Counter((int(tokens_N[place]), int(tokens_N[place + distance])) for place in range(len(tokens_N) - distance))


@pytest.mark.parametrize("distance", [1, 3])
def test_counts_are_those_of_a_loop_over_all_places(distance):
    rows_P, columns_P, counts_P = pairs(TEXT_N, 13, distance)
    found = zip(rows_P.tolist(), columns_P.tolist(), counts_P.tolist(), strict=True)
    assert {(row, column): count for row, column, count in found} == counted(TEXT_N, distance)


@pytest.mark.parametrize("shift", [-1.0, 0.0, 0.5])
def test_information_is_that_of_the_formula(shift):
    expected, smoothing = counted(TEXT_N, 2), 0.75
    rows, columns = Counter(), Counter()
    for (row, column), count in expected.items():
        rows[row] += count
        columns[column] += count
    smooth = sum(count**smoothing for count in columns.values())
    rows_P, columns_P, counts_P = pairs(TEXT_N, 13, 2)
    told_P = information(rows_P, columns_P, counts_P, 13, smoothing, shift)
    for row, column, found in zip(rows_P.tolist(), columns_P.tolist(), told_P.tolist(), strict=True):
        ratio = expected[row, column] * smooth / (rows[row] * columns[column] ** smoothing)
        assert found == pytest.approx(max(0.0, math.log(ratio) - shift), abs=1e-5)


def test_the_table_has_the_geometry_of_the_exact_singular_vectors():
    start, vocab_size, width = cooccurrence("half_count=20", "power=0.5", "smoothing=0.75", "shift=-0.5"), 11, 5
    torch.manual_seed(0)
    table_VD = start.table(TEXT_N, vocab_size, width)
    sides = []
    for d in (1, 2):
        rows_P, columns_P, counts_P = pairs(TEXT_N, vocab_size, d)
        for one_P, other_P in ((rows_P, columns_P), (columns_P, rows_P)):
            told_P = information(one_P, other_P, counts_P, vocab_size, 0.75, -0.5)
            sides.append(dense(one_P, other_P, told_P, vocab_size) / d)
    counts_V = torch.from_numpy(np.bincount(TEXT_N, minlength=vocab_size)).float()
    beside = torch.cat(sides, 1) * (counts_V / (counts_V + 20)).sqrt()[:, None]
    u, s, _ = torch.linalg.svd(beside, full_matrices=False)
    gram = (u[:, :width] * s[:width]) @ u[:, :width].T  # (U S^½)(U S^½)ᵀ; turning axes leaves it
    found = table_VD @ table_VD.T
    assert torch.allclose(found / found.norm(), gram / gram.norm(), atol=1e-4)
    assert table_VD.std().item() == pytest.approx(start.std, rel=1e-4)


def test_words_that_stand_in_the_same_places_begin_alike_and_others_do_not():
    rng = np.random.default_rng(1)
    frames = {0: (10, 11), 1: (12, 13), 2: (14, 15)}  # words 2k and 2k + 1 stand in frame k alone
    text = []
    for _ in range(3000):
        frame = int(rng.integers(3))
        left, right = frames[frame]
        text += [left, 2 * frame + int(rng.integers(2)), right]
    torch.manual_seed(0)
    table_VD = torch.nn.functional.normalize(cooccurrence("distance=1").table(np.array(text), 16, 8), dim=1)
    for one in range(0, 6, 2):
        others = [other for other in range(6) if other // 2 != one // 2]
        assert table_VD[one] @ table_VD[one + 1] > 0.95 > 0.5 > (table_VD[others] @ table_VD[one]).max()


def test_a_word_that_never_came_keeps_what_was_drawn_and_wide_tables_of_few_words_are_possible():
    torch.manual_seed(0)
    table_VD = cooccurrence().table(TEXT_N, VOCAB, 32)
    assert table_VD[11:].abs().max() < 1e-3 < table_VD[:11].norm(dim=1).min()
    assert cooccurrence().table(TEXT_N, 11, 11 + BEYOND + 5).shape == (11, 11 + BEYOND + 5)
    assert not cooccurrence().table(TEXT_N[:1], 11, 4).any()


class Texts:
    """A dataset whose reading takes seven seconds of ``time``."""

    def __init__(self, time):
        self.time, self.limits = time, []

    def stream(self, split, limit):
        assert split == "train"
        self.limits.append(limit)
        self.time.now += 7.0
        return TEXT_N[:limit]


def started(**how):
    trainer = rig([Wallclock()], **how)
    dataset = Texts(trainer.loader.time)
    (hook,) = cooccurrence("most_tokens=400").attach(dataset)
    assert isinstance(hook, StartEmbedding)
    trainer.hooks.append(hook)
    return trainer, dataset


def test_it_is_added_before_the_first_step_and_its_seconds_are_the_runs():
    trainer, dataset = started(seconds=40.0)
    drawn = trainer.model.embedding.detach().clone()
    trainer.hooks[-1].before_steps(trainer)
    added = trainer.model.embedding.detach() - drawn
    assert dataset.limits == [400] and added.std().item() == pytest.approx(0.2, rel=0.01)
    assert trainer.clock.elapsed == 7.0
    result = trainer.fit()
    assert dataset.limits == [400], "once"
    assert result.steps == 33 and result.seconds == 40.0
    (told,) = trainer.listeners[0].of("start")
    assert "7.0 s" in told.text


def test_a_run_that_goes_on_has_it_already():
    whole, _ = started(steps=6)
    expected = whole.fit().state
    first, _ = started(steps=6)
    kept = {}

    class Stops(Wallclock):
        def at_rest(self, trainer):
            if trainer.step == 3 and not kept:
                kept.update(trainer.state())
                raise KeyboardInterrupt

    first.hooks[0] = Stops()
    with pytest.raises(KeyboardInterrupt):
        first.fit()
    second, dataset = started(steps=6, seed=5)
    found = second.fit(kept).state
    assert dataset.limits == []
    assert all(torch.equal(found[name], expected[name]) for name in expected)
