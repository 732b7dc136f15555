"""Encoder recurrence: passes with a norm between them, and the decoder sees the last one."""

import pytest
import torch

from pgolf.arch.base import rms_norm
from pgolf.core.errors import ConfigError
from tests.arch.recurrence.checks import (
    assert_compiles,
    assert_every_parameter_learns,
    assert_sound,
    count,
    form,
    halves,
    stir,
)
from tests.helpers import ids, tiny_model

WORD = "arch/recurrence=encoder"
REVERSED = "arch.recurrence.reverse=true"
ALL = "arch.recurrence.scope=all"
LATER = "arch.recurrence.start=0.5"


def test_ten_layers_and_two_passes_make_fifteen_visits():
    (twice,) = form(WORD, layers=10).routes()
    assert halves(twice) == ([0, 1, 2, 3, 4] * 2, [5, 6, 7, 8, 9])
    assert [v.virtual for v in twice.visits if v.restart] == [5] and twice.skips == 5
    assert {v.key for v in twice.visits} == {f"{i}_0" for i in range(10)}
    assert str(twice) == "0 1 2 3 4 / 0 1 2 3 4 | 5 6 7 8 9"


def test_every_second_pass_may_run_backwards():
    (thrice,) = form(WORD, REVERSED, "arch.recurrence.passes=3", layers=6).routes()
    assert halves(thrice)[0] == [0, 1, 2, 2, 1, 0, 0, 1, 2]


def test_the_whole_network_can_be_repeated():
    (twice,) = form(WORD, ALL, layers=5).routes()
    assert [(v.physical, v.half[0]) for v in twice.visits] == [
        (0, "e"), (1, "e"), (2, "d"), (3, "d"), (4, "d"),
    ] * 2  # fmt: skip
    assert [v.virtual for v in twice.visits if v.restart] == [5] and twice.skips == 2


@pytest.mark.parametrize("words", [(REVERSED, "arch.recurrence.passes=3"), (ALL,), (LATER,)], ids=" ".join)
def test_it_is_sound_in_every_route(words):
    assert_sound(WORD, *words)


def test_each_route_compiles_as_one_graph():
    assert_compiles(WORD, LATER)


@pytest.mark.parametrize("word", [REVERSED, ALL])
def test_every_parameter_learns(word):
    assert_every_parameter_learns(WORD, word)


@pytest.mark.parametrize("word", ["arch.recurrence.passes=1", LATER])
def test_one_pass_is_the_plain_model(word):
    plain, once = stir(tiny_model()), stir(tiny_model(WORD, word))
    assert torch.equal(once.logits(ids()), plain.logits(ids()))
    assert torch.equal(once.loss(ids(), ids(seed=1)), plain.loss(ids(), ids(seed=1)))


def test_passes_cost_no_parameter():
    assert count(tiny_model(WORD, "arch.recurrence.passes=3")) == count(tiny_model())


def through(model, visits, x, x0):
    """A plain reading of the block equations over single-lane visits."""
    outputs = []
    context = type("Context", (), {"x0_BTD": x0, "shared": {}})()
    for visit in visits:
        block = model.block(visit)
        u = block.read(x, context)
        u = u + block.attend(u, context)
        x = u + block.feed_forward(u, context)
        outputs.append(x)
    return outputs


@pytest.mark.parametrize("words", [(), (REVERSED,)], ids=["forward", "reversed"])
def test_the_decoder_sees_the_normed_last_pass_alone(words):
    model = stir(tiny_model(WORD, *words)).eval()
    (plan,) = model.routes.values()
    x0 = model.embed(ids())
    first = through(model, plan.visits[:3], x0, x0)
    second = through(model, plan.visits[3:6], rms_norm(first[-1]), x0)
    x = second[-1]
    for place, visit in enumerate(plan.visits[6:]):
        x = through(model, [visit], x + model.skip_weights[place] * second[2 - place], x0)[-1]
    torch.testing.assert_close(model.hidden(ids()), rms_norm(x))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["passes=0"], "from 1 to 3"),
        (["passes=4"], "from 1 to 3"),
        (["encoder_layers=7"], "from 1 to 6"),
        (["start=1.0"], "arch.recurrence.start: 1 is the end of the run"),
        (["passes=1", "reverse=true"], "reverse: has no effect"),
        (["passes=1", "start=0.5"], "start: has no effect"),
        (["scope=all", "reverse=true"], "reverse: has no effect"),
    ],
)
def test_impossible_settings_are_refused(words, message):
    with pytest.raises(ConfigError, match=message):
        tiny_model(WORD, *(f"arch.recurrence.{word}" for word in words))
