"""Segment loops: the published visit lists, one or two activations, a carry that starts as nothing."""

import pytest
import torch

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
    plain, looped = form(WORD, *words).schedules()
    assert halves(looped) == (encoder, decoder)
    assert halves(plain) == ([0, 1, 2, 3, 4], [5, 6, 7, 8, 9, 10])
    assert {v.key for v in looped.visits} == {f"{i}_0" for i in range(11)}


def test_two_moments_activate_the_first_pass_and_then_the_rest():
    two = form(*TWICE, "arch.recurrence.segment_layers=[3,4,5]", "arch.recurrence.segment_extra_passes=3")
    assert [(s.name, len(s.visits)) for s in two.schedules()] == [
        ("plain", 11),
        ("extra1", 14),
        ("extra3", 20),
    ]
    assert [(a.schedule, a.start) for a in two.activations()] == [("extra1", 0.5), ("extra3", 0.65)]


def test_a_start_of_zero_is_always_on():
    model = tiny_model(WORD, "arch.recurrence.starts=[0]")
    assert list(model.schedules) == [model.active] == ["extra2"] and not model.activations()


@pytest.mark.parametrize("carry", ["false", "true"])
def test_it_is_sound_in_every_schedule(carry):
    assert_sound(*TWICE, f"arch.recurrence.carry={carry}")


def test_each_schedule_compiles_as_one_graph():
    words = "arch.recurrence.segment_layers=[1]", "arch.recurrence.carry=true"
    assert_compiles(*TWICE, *words)


def test_every_parameter_learns():
    assert_every_parameter_learns(WORD, "arch.recurrence.carry=true")


def test_the_inactive_schedule_is_the_plain_model():
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


def test_the_carry_starts_as_nothing_and_adds_the_first_visits_output():
    words = (WORD, "arch.recurrence.segment_layers=[2]", "arch.recurrence.starts=[0]")
    plain, carrying = stir(tiny_model(*words)), tiny_model(*words, "arch.recurrence.carry=true")
    carrying.load_state_dict(plain.state_dict(), strict=False)
    assert torch.equal(carrying.logits(ids()), plain.logits(ids()))
    with torch.no_grad():
        carrying.recurrence.alpha[0, 1] = 0.5
    seen = {}
    honest = carrying.recurrence.after_visit

    def watch(visit, stream, context, model):
        left = honest(visit, stream, context, model)
        seen[visit.physical, visit.number] = (stream[0], left[0])
        return left

    carrying.recurrence.after_visit = watch
    carrying.logits(ids())
    (made, left), (_, first) = seen[2, 2], seen[2, 0]
    torch.testing.assert_close(left, made + 0.5 * first)
    assert torch.equal(*seen[2, 1]) and torch.equal(*seen[3, 0])


def test_carries_of_two_lanes_do_not_mix():
    model = tiny_model(WORD, "arch.recurrence.carry=true", "arch.recurrence.starts=[0]")
    with torch.no_grad():
        model.recurrence.alpha.fill_(1.0)
    first, again = (v for v in model.schedules["extra2"].visits if v.physical == 2 and v.number < 2)
    context = type("Context", (), {"shared": {}})()
    lanes = (torch.full((1, 1, 32), 1.0), torch.full((1, 1, 32), 10.0))
    model.recurrence.after_visit(first, lanes, context, model)
    left, right = model.recurrence.after_visit(again, lanes, context, model)
    assert left.unique().item() == 2.0 and right.unique().item() == 20.0


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
