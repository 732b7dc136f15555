"""Stages learn the same where nobody wants their rows: of every option, as its ``learns_from`` says. In plain Python.

Shapes: I positions, E rows, V vocabulary, S stages.
"""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from omegaconf import OmegaConf

from pgolf.config.options import conf_dir
from pgolf.core.make import make
from pgolf.core.prediction import Facts, Stage, in_turn
from pgolf.eval import stage as home
from pgolf.eval.stage import Chain

CONF = Path(conf_dir())
V, COUNT, ROWLESS = 8, 60, 40  # the first positions have no rows
WIDTHS = {"mlp_in": 6, "gates": 4}
NUMBERS = ("entropy", "largest", "order", "total", "distinct", "moved")
OFFERS = (*NUMBERS, *WIDTHS)
EXPERTS = 2
# packed: counts of training text, in one of the others; these count less than they are made for in so short a text
OPTIONS = [
    (group, path.stem)
    for group in ("ngram", "mixer")
    for path in sorted((CONF / group).glob("*.yaml"))
    if path.stem != "none" and not path.stem.startswith("packed")
]
SHORT = {"chunk_tokens": 8, "bucket_bits": 6, "quiet_tokens": 8, "batch_tokens": 4, "rank_tokens": 4, "row_bits": 4}


class RowsOfATest(NamedTuple):
    row_IV: np.ndarray
    place_1: np.ndarray


def predict_given(state, lane, rows_EV, in_F, row_V, out_S):
    row_V[:] = state.row_IV[state.place_1[0]]


def learn_place(state, lane, rows_EV, in_F, token):
    state.place_1[0] += 1


@pytest.fixture(autouse=True)
def nothing_is_compiled(monkeypatch):
    def plain(predict, learn, seen, state):
        return (lambda *rest: home._drive_plain(predict, learn, seen, *rest)), learn, seen

    monkeypatch.setattr(home, "_compiled", plain)


def settings_of(group, name):
    """As the file and those that it builds on say, but for ``SHORT``."""
    node = OmegaConf.to_container(OmegaConf.load(CONF / group / f"{name}.yaml"))
    settings = {}
    for other in node.pop("defaults", []):
        if isinstance(other, dict):  # /mixer@of: none
            settings["of"] = settings_of(group, "bucketed")
        elif other != "_self_":
            settings |= settings_of(group, other)
    return settings | {key: SHORT.get(key, value) for key, value in node.items()}


def stages_of(group, name):
    """The option's own stages, and how many rows are before the first of them."""
    facts = Facts(V, 1, COUNT + 1, widths=lambda: WIDTHS)
    if group == "ngram":
        return make(settings_of(group, name)).stages(facts), 1
    settings, experts = settings_of(group, name), EXPERTS
    if name in ("routed", "routed_published"):
        settings, experts = settings | {"orders": [2, 3, 4]}, 0
        settings |= {"min_counts": [1], "start_tokens": 4} if name == "routed_published" else {}
    return in_turn(make(settings).stage(facts, experts)), 1 + experts


class Given(NamedTuple):
    rows_IEV: np.ndarray
    signals: dict
    token_I: np.ndarray


def given(rows):
    random = np.random.default_rng(0)
    rows_IEV = random.random((COUNT, rows, V), dtype=np.float32) ** 4 + np.float32(1e-3)
    rows_IEV /= rows_IEV.sum(-1, keepdims=True)
    signals = {name: random.integers(1, 5, COUNT).astype(np.float32) for name in NUMBERS}
    signals |= {name: random.normal(size=(COUNT, width)).astype(np.float32) for name, width in WIDTHS.items()}
    return Given(rows_IEV, signals, random.integers(0, 3, COUNT) * random.integers(1, 3, COUNT))


def chain_of(stages, rows_IEV):
    experts = [
        Stage(f"given {e}", predict_given, learn_place, RowsOfATest(row_IV, np.zeros(1, dtype=np.int64)))
        for e, row_IV in enumerate(rows_IEV[:, 1:].swapaxes(0, 1))
    ]
    return Chain([*experts, *stages], OFFERS)


def driven(stages, given_, wanted, poison=False):
    """(rows of the last positions, states when the first are learnt, arrays that the next ``predict`` changes)."""
    rows_IEV = given_.rows_IEV.copy()
    if poison:
        rows_IEV[:ROWLESS] = np.nan
    chain = chain_of(stages, rows_IEV)
    for part, rows_wanted in ((slice(0, 17), wanted), (slice(17, ROWLESS), wanted), (slice(ROWLESS, COUNT), True)):
        token_I = given_.token_I[part]
        signals = {name: given_.signals[name][part] for name in chain.wanted}
        if poison and not rows_wanted:
            signals = {name: np.full_like(value_I, np.nan) for name, value_I in signals.items()}
        chain.reserve(len(token_I))
        if rows_wanted and part.start == ROWLESS:
            learnt = [[array.copy() for array in state] for state in chain._states]
        chain.take(rows_IEV[part, 0], signals, np.zeros(len(token_I), dtype=np.int64), token_I)
        chain.drive(0, len(token_I), rows_wanted)
        chain.finish()
    return chain.row_IV.copy(), learnt


def written_by_predict(stages, given_):
    """Of each stage, which arrays of its state."""
    chain = chain_of(stages, given_.rows_IEV)
    found = [[False] * len(state) for state in chain._states]
    for i in range(COUNT):
        chain.reserve(1)
        signals = {name: given_.signals[name][i : i + 1] for name in chain.wanted}
        token_I = given_.token_I[i : i + 1]
        chain.take(given_.rows_IEV[i : i + 1, 0], signals, np.zeros(1, dtype=np.int64), token_I)
        before = [[array.copy() for array in state] for state in chain._states]
        chain.drive(0, 0)
        for s, state in enumerate(chain._states):
            for a, array in enumerate(state):
                found[s][a] |= not np.array_equal(array, before[s][a])
        chain.finish()
    return found


def same_without_rows(stages, rows):
    given_ = given(rows)
    row_IV, learnt = driven(stages, given_, wanted=True)
    poison = all(stage.learns_from == "token" for stage in stages)
    other_IV, alone = driven(stages, given_, wanted=False, poison=poison)
    if not np.array_equal(row_IV, other_IV):
        return False
    by_predict = written_by_predict(stages, given_)
    return all(
        may_differ or np.array_equal(array, other)
        for state, others, marks in zip(learnt[rows - 1 :], alone[rows - 1 :], by_predict[rows - 1 :], strict=True)
        for array, other, may_differ in zip(state, others, marks, strict=True)
    )


@pytest.mark.parametrize(("group", "name"), OPTIONS)
def test_what_is_learnt_without_rows_is_the_same_to_the_bit(group, name):
    stages, rows = stages_of(group, name)
    assert same_without_rows(stages, rows)


@pytest.mark.parametrize(
    ("group", "name", "said"), [("mixer", "geometric", "rows"), ("mixer", "tree", "token"), ("ngram", "match", "token")]
)
def test_a_stage_that_says_it_needs_less_than_it_does_is_found_out(group, name, said):
    stages, rows = stages_of(group, name)
    assert not same_without_rows([replace(stage, learns_from=said) for stage in stages], rows)


class Calls(NamedTuple):
    count_1: np.ndarray


def predict_counted(state, lane, rows_EV, in_F, row_V, out_S):
    state.count_1[0] += 1
    row_V[:] = rows_EV[0]


def learn_nothing(state, lane, rows_EV, in_F, token):
    pass


@pytest.mark.parametrize(
    ("said", "calls"),
    [
        (("token", "token"), [1, 1]),
        (("token", "rows"), [10, 1]),
        (("predict", "token"), [10, 1]),
        (("token", "rows", "token"), [10, 1, 1]),
        (("token", "token", "predict"), [10, 10, 10]),
    ],
)
def test_rows_are_made_for_who_learns_from_them_and_where_the_token_is_not_known(said, calls):
    stages = [
        Stage(str(s), predict_counted, learn_nothing, Calls(np.zeros(1, dtype=np.int64)), learns_from=what)
        for s, what in enumerate(said)
    ]
    chain = Chain(stages, OFFERS)
    given_ = given(1)
    chain.take(given_.rows_IEV[:10, 0], {}, np.zeros(10, dtype=np.int64), given_.token_I[:10])
    chain.drive(0, 9, wanted=False)
    assert [int(state.count_1[0]) for state in chain._states] == calls
    assert np.array_equal(chain.row_IV[9], given_.rows_IEV[9, 0])
