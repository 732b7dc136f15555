"""Segment loops: the published visit lists, one or two activations, a carry that starts as nothing."""

from types import SimpleNamespace

import pytest
import torch

from pgolf.arch.block import ForwardContext
from pgolf.core.errors import ConfigError
from tests.arch.recurrence.checks import (
    SKIPS,
    artifact,
    assert_compiles,
    assert_every_parameter_learns,
    assert_sound,
    count,
    form,
    halves,
    stir,
)
from tests.helpers import ids, tiny_model

WORD = "arch/recurrence=segment_loop"
TWICE = (WORD, "arch.recurrence.starts=[0.5,0.65]")


@pytest.mark.parametrize(
    ("segment", "extra", "encoder", "decoder"),
    [
        ("[3,4,5]", 2, [0, 1, 2, 3, 4, 5, 3, 4], [5, 3, 4, 5, 6, 7, 8, 9, 10]),
        ("[4,5]", 2, [0, 1, 2, 3, 4, 5, 4], [5, 4, 5, 6, 7, 8, 9, 10]),
        ("[4,5]", 1, [0, 1, 2, 3, 4, 5], [4, 5, 6, 7, 8, 9, 10]),
    ],
)
def test_the_visits_are_the_published_ones(segment, extra, encoder, decoder):
    words = f"arch.recurrence.segment_layers={segment}", f"arch.recurrence.segment_extra_passes={extra}"
    plain, looped = form(WORD, *words).routes()
    assert halves(looped) == (encoder, decoder)
    assert halves(plain) == ([0, 1, 2, 3, 4], [5, 6, 7, 8, 9, 10])
    assert {v.key for v in looped.visits} == {f"{i}_0" for i in range(11)}


def test_two_moments_activate_the_first_pass_and_then_the_rest():
    two = form(*TWICE, "arch.recurrence.segment_layers=[3,4,5]", "arch.recurrence.segment_extra_passes=3")
    assert [(s.name, len(s.visits)) for s in two.routes()] == [
        ("plain", 11),
        ("extra1", 14),
        ("extra3", 20),
    ]
    assert [(a.route, a.start) for a in two.activations()] == [("extra1", 0.5), ("extra3", 0.65)]


def test_a_start_of_zero_is_always_on():
    model = tiny_model(WORD, "arch.recurrence.starts=[0]")
    assert list(model.routes) == [model.active] == ["extra2"] and not model.activations()


@pytest.mark.parametrize("carry", ["false", "true"])
def test_it_is_sound_in_every_route(carry):
    assert_sound(*TWICE, f"arch.recurrence.carry={carry}")


def test_each_route_compiles_as_one_graph():
    words = "arch.recurrence.segment_layers=[1]", "arch.recurrence.carry=true"
    assert_compiles(*TWICE, *words)


def test_every_parameter_learns():
    assert_every_parameter_learns(WORD, "arch.recurrence.carry=true")


def test_the_inactive_route_is_the_plain_model():
    plain, looped = tiny_model(), tiny_model(WORD)
    with torch.no_grad():
        for name, parameter in plain.state_dict().items():
            parameter.normal_(0.0, 0.1)
            looped.state_dict()[name][: len(parameter)] = parameter
    assert torch.equal(looped.logits(ids()), plain.logits(ids()))
    looped.activate("extra2")
    assert not torch.allclose(looped.logits(ids()), plain.logits(ids()))


def test_the_artifact_does_not_grow_with_the_passes_but_for_skips():
    plain, looped = tiny_model(), tiny_model(WORD, "arch.recurrence.segment_extra_passes=4")
    assert count(looped) == count(plain) + 4 * SKIPS
    names = {t.name for t in artifact(looped).state.tensors}
    assert names == {t.name for t in artifact(plain).state.tensors}


def test_with_two_extra_passes_the_carry_is_the_latest_encoder_visit_with_its_own_carry():
    words = "arch.recurrence.segment_layers=[3,4,5]", "arch.recurrence.carry=true"
    loop = form(WORD, *words)
    assert loop.alpha.shape == (3,) and not loop.alpha.any()
    with torch.no_grad():
        loop.alpha.copy_(torch.tensor([0.5, 0.0, 0.5]))
    context = ForwardContext(torch.zeros(1, 1), torch.zeros(1, 1, 1))
    route = loop.routes()[-1]

    def leave(physical, number, value):
        (visit,) = [v for v in route.visits if (v.physical, v.number) == (physical, number)]
        (x,) = loop.after_visit(visit, (torch.full((1, 1, 1), value),), context, SimpleNamespace(route=route))
        return visit.half, x.item()

    assert leave(3, 0, 1.0) == ("encoder", 1.0)
    assert leave(3, 1, 10.0) == ("encoder", 10.5)  # + 0.5 · 1
    assert leave(3, 2, 100.0) == ("decoder", 105.25)  # + 0.5 · 10.5; the first visit's would give 100.5
    assert leave(5, 0, 2.0) == ("encoder", 2.0)
    assert leave(5, 1, 20.0) == ("decoder", 21.0)  # + 0.5 · 2
    assert leave(5, 2, 200.0) == ("decoder", 201.0)  # + 0.5 · 2 again: the decoder half renews nothing
    assert leave(4, 0, 7.0)[1] == 7.0 and leave(4, 1, 70.0)[1] == 70.0


def test_the_carry_reaches_the_stream_and_the_skips():
    words = WORD, "arch.recurrence.starts=[0]"  # visits 0 1 2 3 2 | 3 2 3 4 5
    plain, carrying = stir(tiny_model(*words)), tiny_model(*words, "arch.recurrence.carry=true")
    carrying.load_state_dict(plain.state_dict(), strict=False)
    assert torch.equal(carrying.logits(ids()), plain.logits(ids()))
    with torch.no_grad():
        carrying.recurrence.alpha.copy_(torch.tensor([0.5, 0.0]))
    made, left, skips = {}, {}, []
    honest, skip = carrying.recurrence.after_visit, carrying._skip

    def watch(visit, stream, context, model):
        made[visit.virtual] = stream[0]
        (left[visit.virtual],) = found = honest(visit, stream, context, model)
        return found

    def pop(stream, skip_BTD, index, visit):
        skips.append(skip_BTD)
        return skip(stream, skip_BTD, index, visit)

    carrying.recurrence.after_visit, carrying._skip = watch, pop
    carrying.logits(ids())
    torch.testing.assert_close(left[4], made[4] + 0.5 * left[2])
    torch.testing.assert_close(left[6], made[6] + 0.5 * left[4])
    assert skips[0] is left[4] and left[3] is made[3]


def test_a_layer_with_nothing_to_carry_is_refused():
    with pytest.raises(ConfigError, match=r"carry: layers \[5\] are visited in the decoder half only"):
        words = "arch.recurrence.segment_layers=[5]", "arch.recurrence.segment_extra_passes=1"
        tiny_model(WORD, *words, "arch.recurrence.carry=true", "arch.recurrence.starts=[0.5]")


def test_the_growth_penalty_is_of_the_whole_segment_in_the_active_passes():
    loop = form(WORD, "arch.recurrence.growth_weight=1.0", "arch.recurrence.segment_layers=[3,4]", *TWICE[1:])
    targets = torch.zeros(1, 1, dtype=torch.int64)
    for route in loop.routes():
        context = ForwardContext(targets, torch.zeros(1, 1, 1), targets_BT=targets)
        for visit in route.visits:
            # length 1 before the segment; each visit leaves one more than the number of visits behind it
            before = (torch.full((1, 1, 1), float(max(1, visit.virtual - 2))),)
            loop.before_visit(visit, before, context)
            loop.after_visit(visit, (before[0] + 1,), context, SimpleNamespace(route=route))
        moved = {"plain": None, "extra1": 4.0, "extra2": 6.0}[route.name]  # visits of the segment
        expected = [] if moved is None else [pytest.approx((moved - 1) ** 2, abs=1e-3)]
        assert [term.item() for term in context.auxiliary] == expected


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("segment_layers=[2,6]", "out of range"),
        ("segment_layers=[1,3]", "not consecutive"),
        ("segment_layers=[3,2]", "not consecutive"),
        ("segment_extra_passes=0", "at least 1"),
        ("starts=[]", "one fraction, or two"),
        ("starts=[0.1,0.2,0.3]", "one fraction, or two"),
        ("starts=[0.6,0.5]", "must rise"),
        ("starts=[1.5]", "must rise within"),
        ("starts=[1.0]", "arch.recurrence.starts: 1 is the end of the run"),
        ("starts=[0.5,1]", "arch.recurrence.starts: 1 is the end of the run"),
    ],
)
def test_impossible_settings_are_refused(word, message):
    with pytest.raises(ConfigError, match=message):
        tiny_model(WORD, f"arch.recurrence.{word}")


def test_two_moments_for_one_pass_are_refused():
    with pytest.raises(ConfigError, match="there are 1"):
        tiny_model(*TWICE, "arch.recurrence.segment_extra_passes=1")
