import importlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgolf.core.errors import ConfigError
from pgolf.core.prediction import Stage
from pgolf.eval import stage as home
from pgolf.eval.stage import Chain
from tests.eval.kernels import average, blend, journal, memory, price_blend, price_count, unigram

ROOT = Path(home.__file__).resolve().parents[2]
V, LANES = 11, 3
OFFERS = ("entropy", "largest")


def positions(count, seed=0):
    """(rows, signals, lanes, tokens) of ``count`` positions."""
    random = np.random.default_rng(seed)
    own_IV = random.random((count, V), dtype=np.float32) + np.float32(0.01)
    own_IV /= own_IV.sum(-1, keepdims=True)
    signals = {"entropy": random.random(count, dtype=np.float32), "largest": random.random(count, dtype=np.float32)}
    return own_IV, signals, random.integers(0, LANES, count), random.integers(0, V, count)


def wanted(chain, signals):
    return {name: signals[name] for name in chain.wanted}


def driven(chain, given_positions, stops=()):
    """The rows of a chain that is driven in parts: at each of ``stops`` no later token is known yet."""
    own_IV, signals, lane_I, token_I = given_positions
    count, begin = len(token_I), 0
    for known in [*sorted(stops), count]:
        told_I = np.where(np.arange(count) < known, token_I, (token_I + 1) % V)  # what would not be noticed is no use
        chain.take(own_IV, wanted(chain, signals), lane_I, told_I)
        if begin < count:
            chain.drive(begin, known)
        begin = min(known + 1, count)
    chain.finish()
    return chain.row_IV.copy()


def two_stages():
    return [unigram(V, LANES), blend(experts=1)]


def pricing_stages():
    """The same, which can price a token alone."""
    counts, mixer = two_stages()
    return [replace(counts, score=price_count), replace(mixer, score=price_blend)]


def state_of(chain):
    return [array.copy() for state in chain._states for array in state]


def same(arrays, others):
    return len(arrays) == len(others) and all(np.array_equal(a, b) for a, b in zip(arrays, others, strict=True))


def plain(predict, learn, seen, state):
    """What drives stages where nothing is compiled."""
    return (lambda *rest: home._drive_plain(predict, learn, seen, *rest)), learn, seen


def test_the_row_of_a_chain_is_its_last_stages():
    own_IV, signals, lane_I, token_I = positions(5)
    row_IV = driven(Chain(two_stages(), OFFERS), (own_IV, signals, lane_I, token_I))
    assert row_IV.shape == (5, V) and row_IV.dtype == np.float32
    np.testing.assert_allclose(row_IV.sum(-1), 1.0, atol=1e-6)
    own = 1 + signals["entropy"][0] / V  # nothing is counted yet: the expert's row is uniform, its total V
    np.testing.assert_allclose(row_IV[0], (own * own_IV[0] + 1 / V) / (own + 1), rtol=1e-6)


def test_a_stage_reads_the_networks_row_and_those_of_the_stages_before_it_of_the_same_position():
    given_positions = positions(12)
    counted_IV = driven(Chain([unigram(V, LANES)], OFFERS), given_positions)
    mixed_IV = driven(Chain([unigram(V, LANES), average()], OFFERS), given_positions, (5,))
    assert len({row_V.tobytes() for row_V in counted_IV}) == 12
    np.testing.assert_allclose(mixed_IV, (given_positions[0] + counted_IV) / 2, rtol=1e-6)


def test_compiled_kernels_give_the_bits_of_plain_python(monkeypatch):
    compiled = Chain(two_stages(), OFFERS)
    with monkeypatch.context() as patch:
        patch.setattr(home, "_compiled", plain)
        interpreted = Chain(two_stages(), OFFERS)
    for seed, stops in ((0, ()), (1, (3, 7)), (2, range(20))):
        assert np.array_equal(
            driven(compiled, positions(20, seed), stops), driven(interpreted, positions(20, seed), stops)
        )
    assert same(state_of(compiled), state_of(interpreted))


IN_ANOTHER_PROCESS = """
import hashlib, numba
from tests.eval.test_stage import OFFERS, Chain, driven, positions, two_stages
row_IV = driven(Chain(two_stages(), OFFERS), positions(20))
print(numba.config.DISABLE_JIT, hashlib.sha256(row_IV.tobytes()).hexdigest())
"""


def run_python(program, *arguments, **environment):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], env=kept | environment, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_with_the_compiler_switched_off_stages_run_as_they_are_and_give_the_same_bits():
    off, on = (run_python(IN_ANOTHER_PROCESS, NUMBA_DISABLE_JIT=flag) for flag in "10")
    assert (off[0], on[0]) == ("1", "0")
    assert off[1] == on[1]


@settings(deadline=None)
@given(count=st.integers(1, 24), stops=st.sets(st.integers(0, 23)), seed=st.integers(0, 5))
def test_rows_do_not_depend_on_how_many_tokens_are_known_at_a_time(count, stops, seed):
    stops = {stop for stop in stops if stop < count}
    whole, parted = Chain(two_stages(), OFFERS), Chain(two_stages(), OFFERS)
    for block in range(2):  # the second finds states and buffers in use
        given_positions = positions(count, seed + 10 * block)
        assert np.array_equal(driven(whole, given_positions), driven(parted, given_positions, stops))
    assert same(state_of(whole), state_of(parted))


@pytest.mark.parametrize("stops", [(), (0,), (4,), (2, 3, 8), range(12)])
def test_a_stage_may_use_every_row_it_is_given_in_prediction_and_learning(stops):
    """The network's and those of all experts before it; what stands there is no matter of how the tokens came."""
    stages = [average("first"), average("second"), average("mixer")]
    whole, parted = Chain(stages, ()), Chain(stages, ())
    for seed in range(2):
        assert np.array_equal(driven(whole, positions(12, seed)), driven(parted, positions(12, seed), stops))
    assert same(state_of(whole), state_of(parted))


def test_a_stage_is_given_the_networks_row_and_those_of_the_experts_before_it():
    chain = Chain([journal("first"), journal("second"), journal("mixer")], OFFERS)
    driven(chain, positions(4))
    for index, state in enumerate(chain._states):
        assert set(state.event_N4[: state.count[0], 3].tolist()) == {index + 1}


@pytest.mark.parametrize("stops", [(), (0,), (11,), (2, 3, 8), range(12)])
def test_no_kernel_is_shown_a_token_before_its_row_is_written(stops):
    """Row, token, row, token, in order; and a token comes with what its row was made from."""
    chain = Chain([journal()], OFFERS)
    own_IV, signals, lane_I, token_I = positions(12)
    driven(chain, (own_IV, signals, lane_I, token_I), stops)
    count, event_N4, number_N2 = chain._states[0]
    assert count[0] == 24
    kind, lane, token, _ = event_N4[:24].T
    assert kind.tolist() == [0, 1] * 12
    assert lane.tolist() == np.repeat(lane_I, 2).tolist()
    assert token[1::2].tolist() == token_I.tolist()
    np.testing.assert_array_equal(number_N2[:24], np.repeat(np.stack([own_IV[:, 0], signals["entropy"]], 1), 2, axis=0))


def test_signals_reach_who_needs_them_by_name_from_network_and_stages():
    first, second = unigram(V, LANES), journal("reader", needs=("seen", "largest", "total"))
    chain = Chain([first, second], OFFERS)
    assert chain.wanted == ("largest",)  # nobody needs the network's entropy
    own_IV, signals, lane_I, token_I = positions(9)
    driven(chain, (own_IV, signals, lane_I, token_I), (4,))
    in_IF = chain._now.in_SIF[1]
    seen = [int((lane_I[:i] == lane_I[i]).sum()) for i in range(9)]
    assert in_IF[:, 0].tolist() == chain._states[1].number_N2[:18:2, 1].tolist() == seen
    assert in_IF[:, 1].tolist() == signals["largest"].tolist()
    assert in_IF[0, 2] == V and (np.diff(in_IF[:, 2]) > 0).all()


def test_a_vector_lies_among_a_stages_numbers_where_its_name_stands_in_what_it_needs():
    reader = journal("reader", needs=("entropy", "vector", "seen", "largest"))
    chain = Chain([unigram(V, LANES), reader], (*OFFERS, "vector"))
    own_IV, signals, lane_I, token_I = positions(9)
    signals["vector"] = np.random.default_rng(0).random((9, 4), dtype=np.float32)
    driven(chain, (own_IV, signals, lane_I, token_I), (4,))
    in_IF, seen_I = chain._now.in_SIF[1], chain._now.out_SIS[0][:, 1]
    parts = signals["entropy"][:, None], signals["vector"], seen_I[:, None], signals["largest"][:, None]
    assert np.array_equal(in_IF, np.concatenate(parts, axis=1))


def test_a_signal_that_nobody_before_offers_is_a_config_error_that_names_the_choices():
    with pytest.raises(ConfigError, match="blend: needs the signal 'total', which nobody offers; there are entropy"):
        Chain([blend(experts=0)], OFFERS)
    with pytest.raises(ConfigError, match=r"reader: needs the signal 'mood'.*entropy, largest, total, seen$"):
        Chain([unigram(V), journal("reader", needs=("mood",))], OFFERS)
    with pytest.raises(ConfigError, match="reader: needs the signal 'seen'"):  # it comes later
        Chain([journal("reader", needs=("seen",)), unigram(V)], OFFERS)
    with pytest.raises(ConfigError, match="there are none"):
        Chain([journal()], ())


def test_states_are_copied_and_never_shared():
    stages = two_stages()
    untouched = [array.copy() for stage in stages for array in stage.state]
    first, second = Chain(stages, OFFERS), Chain(stages, OFFERS)
    rows = driven(first, positions(10))
    assert same([array for stage in stages for array in stage.state], untouched)
    assert same(state_of(second), untouched)
    assert np.array_equal(driven(second, positions(10)), rows)


def test_a_fork_goes_on_alike_and_apart():
    chain = Chain(two_stages(), OFFERS)
    driven(chain, positions(10))
    fork = chain.fork()
    before = state_of(chain)
    rows = driven(fork, positions(10, seed=1))
    assert same(state_of(chain), before)
    assert np.array_equal(driven(chain, positions(10, seed=1)), rows)
    assert same(state_of(chain), state_of(fork))


def test_a_fork_leaves_the_rows_of_the_original_alone():
    chain = Chain(two_stages(), OFFERS)
    rows = driven(chain, positions(10))
    driven(chain.fork(), positions(10, seed=1))
    assert np.array_equal(chain.row_IV, rows)


def test_room_is_made_for_the_tokens_to_come():
    asked = []
    chain = Chain([memory(asked)], ())
    for seed, count in enumerate((4, 1, 7)):
        chain.reserve(count)
        driven(chain, positions(count, seed))
    state = chain._states[0]
    assert asked == [4, 1, 7] and state.size[0] == 12
    assert state.tokens.tolist() == [token for seed, n in enumerate((4, 1, 7)) for token in positions(n, seed)[3]]


def test_tokens_are_priced_alone_through_all_stages_which_learn_them_in_order():
    """``blend`` weighs by what ``unigram`` says of itself; what they price is what their rows hold, to the bit."""
    rows, alone = Chain(two_stages(), OFFERS), Chain(pricing_stages(), OFFERS)
    for seed in range(2):
        own_IV, signals, lane_I, token_I = positions(20, seed)
        row_IV, each = driven(rows, (own_IV, signals, lane_I, token_I)), np.arange(20)
        p_I = alone.score(own_IV[each, token_I], wanted(alone, signals), lane_I, token_I)
        assert p_I.dtype == np.float32 and np.array_equal(p_I, row_IV[each, token_I])
    assert same(state_of(rows), state_of(alone))


def test_pricing_alone_gives_the_bits_of_plain_python(monkeypatch):
    own_IV, signals, lane_I, token_I = positions(20)
    given_positions = own_IV[np.arange(20), token_I], {"entropy": signals["entropy"]}, lane_I, token_I
    compiled = Chain(pricing_stages(), OFFERS).score(*given_positions)
    monkeypatch.setattr(
        home, "_compiled_score", lambda score, seen, state: lambda *rest: home._score_plain(score, seen, *rest)
    )
    assert np.array_equal(Chain(pricing_stages(), OFFERS).score(*given_positions), compiled)


def test_a_stage_that_makes_whole_rows_only_is_refused_by_name_before_anything_is_learnt():
    unpriced = [pricing_stages()[0], two_stages()[1]]
    chain = Chain(unpriced, OFFERS)
    own_IV, signals, lane_I, token_I = positions(3)
    with pytest.raises(ConfigError, match="blend: makes whole rows only"):
        chain.score(own_IV[:, 0].copy(), {"entropy": signals["entropy"]}, lane_I, token_I)
    assert same(state_of(chain), [array for stage in unpriced for array in stage.state])


def test_an_empty_chain_is_false_and_wants_nothing():
    chain = Chain([], OFFERS)
    assert not chain and chain.wanted == ()
    chain.reserve(10)
    assert not chain.fork()


KERNELS = """
from typing import NamedTuple

import numpy as np


class {name}(NamedTuple):
    seen_1: np.ndarray


def predict(state, lane, rows_EV, in_F, row_V, out_S):
    row_V[:] = rows_EV[0]


def learn(state, lane, rows_EV, in_F, token):
    state.seen_1[0] += token


def score(state, lane, p_E, in_F, token, out_S):
    state.seen_1[0] += token
    return p_E[0]
"""

DRIVE = """
import sys
import numpy as np
from pgolf.core.prediction import Stage
from pgolf.eval.stage import Chain
module = __import__(sys.argv[1])
state = getattr(module, sys.argv[1].title())(np.zeros(1, dtype=np.int64))
chain = Chain([Stage("written", module.predict, module.learn, state, score=module.score)], ())
chain.take(np.full((1, 3), 1 / 3, dtype=np.float32), {}, np.zeros(1, dtype=np.int64), np.array([1]))
chain.drive(0, 1)
chain.finish()
chain.score(np.full(1, 1 / 3, dtype=np.float32), {}, np.zeros(1, dtype=np.int64), np.array([2]))
print(chain._states[0].seen_1[0])
"""


@pytest.fixture(scope="module")
def drive_module(tmp_path_factory):
    """Run a module of kernels in a process of its own; returns the files of machine code that it left."""
    place = tmp_path_factory.mktemp("kernels")

    def drive(name):
        folder = place / name
        folder.mkdir(exist_ok=True)
        if not (folder / f"{name}.py").exists():
            (folder / f"{name}.py").write_text(KERNELS.format(name=name.title()))
        path = os.pathsep.join([str(ROOT), str(folder)])
        assert run_python(DRIVE, name, NUMBA_CACHE_DIR=str(place / "cache"), PYTHONPATH=path) == ["3"]
        return {found: found.stat().st_mtime_ns for found in (place / "cache").rglob("*.nbc")}

    return drive


@pytest.mark.slow  # of a script: tests/eval/test_source.py
def test_a_second_process_compiles_nothing_and_one_without_the_module_does_not_mind(drive_module):
    first = drive_module("kernels")
    assert first
    assert drive_module("kernels") == first
    drive_module("others")


def test_kernels_without_a_file_are_compiled_all_the_same():
    """As in a bundle, whose modules are text in one script."""
    names = {}
    exec(KERNELS.format(name="Written"), names)
    state = names["Written"](np.zeros(1, dtype=np.int64))
    chain = Chain([Stage("written", names["predict"], names["learn"], state)], ())
    given_positions = positions(5)
    assert np.array_equal(driven(chain, given_positions), given_positions[0])
    assert chain._states[0].seen_1[0] == given_positions[3].sum()


MADE_HERE = "kernels"
LEAF = "from numba.extending import register_jitable\n\n\n@register_jitable\ndef changed(x):\n    return x + {}\n"


def write_with_leaf(folder, more):
    """A module of kernels whose ``learn`` and ``score`` call a leaf's function, which adds ``more``."""
    calls = KERNELS.format(name="Kernels").replace("+= token", "+= changed(token)")
    (folder / "kernels.py").write_text("from leaf import changed\n" + calls)
    (folder / "leaf.py").write_text(LEAF.format(more))


def test_a_kernel_is_kept_under_a_name_that_changes_with_the_leaf_it_calls(tmp_path, monkeypatch):
    """numba itself looks at a kernel's own file only."""
    monkeypatch.syspath_prepend(str(tmp_path))
    kept = []
    for more in (1, 1, 10):
        write_with_leaf(tmp_path, more)
        os.utime(tmp_path / "leaf.py", (more, more))
        for name in ("kernels", "leaf"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        module = importlib.import_module(MADE_HERE)
        assert home._filed(module.predict) is module.predict  # calls nothing of another file
        filed = home._filed(module.learn)
        kept.append(filed.__qualname__)
        assert filed.__code__ is module.learn.__code__ and filed.__globals__ is module.learn.__globals__
    assert kept[0] == kept[1] != kept[2] and kept[0].startswith("learn_")
    for name in ("kernels", "leaf"):
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.slow
def test_what_was_compiled_with_a_leaf_is_not_used_once_the_leaf_has_changed(tmp_path):
    path = os.pathsep.join([str(ROOT), str(tmp_path)])
    for more in (0, 10, 0):
        write_with_leaf(tmp_path, more)
        said = run_python(DRIVE, "kernels", NUMBA_CACHE_DIR=str(tmp_path / "cache"), PYTHONPATH=path)
        assert said == [str(3 + 2 * more)]
