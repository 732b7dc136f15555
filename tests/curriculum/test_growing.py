"""Every token once and in order whatever the shape; stages at their fractions; tokens counted; resumed to the bit."""

import pytest
import torch

from pgolf.core.errors import ConfigError
from pgolf.curriculum.growing import Growing
from pgolf.hook.wallclock import Wallclock
from pgolf.train.trainer import Hook
from pgolf.train.warmup import warm_up
from tests.train.rig import rig


class Counting:
    """Batches of 4 windows of 8 consecutive tokens: x holds their numbers, y those after."""

    def __init__(self):
        self.position = 0

    def next_batch(self):
        x = (torch.arange(32) + 32 * self.position).view(4, 8)
        self.position += 1
        return x, x + 1

    def state(self):
        return {"position": self.position}

    def restore(self, state):
        self.position = state["position"]

    def close(self):
        pass


def growing(starts=(0.0, 0.25, 0.5), windows=(4, 2, 1), batches=(4, 2, 1), rows=4, window=8):
    curriculum = Growing(starts=starts, window_divisors=windows, batch_divisors=batches)
    curriculum.check(rows, window)
    return curriculum


def test_no_token_is_lost_or_seen_twice_across_stages():
    curriculum, seen, shapes = growing(), [], []
    loader = curriculum.wrap(Counting())
    for stage, draws in ((0, 3), (1, 2), (2, 2)):
        curriculum._use(stage)
        for _ in range(draws):
            x, y = loader.next_batch()
            assert torch.equal(y, x + 1)
            shapes.append(tuple(x.shape))
            seen.append(x.flatten())
    assert shapes == [(4, 2)] * 3 + [(4, 4)] * 2 + [(4, 8)] * 2
    seen = torch.cat(seen)
    assert torch.equal(seen, torch.arange(len(seen)))


def test_a_saved_position_in_the_middle_of_a_batch_goes_on_with_its_rest():
    curriculum, again = growing(), growing()
    loader, other = curriculum.wrap(Counting()), again.wrap(Counting())
    loader.next_batch()
    saved = loader.state()
    other.restore(saved)
    for _ in range(6):
        assert torch.equal(loader.next_batch()[0], other.next_batch()[0])


def trained(steps=8, seconds=100.0, warmed=False, resume=None, keep=(), hooks=()):
    """A run on rows of 16 tokens, two of them, with stages at 0 and 0.5; what it drew, its states."""
    trainer = rig(steps=steps, seconds=seconds, hooks=hooks)
    curriculum, drew, states = growing((0.0, 0.5), (4, 1), (2, 1), 2, 16), [], {}
    trainer.loader = curriculum.wrap(trainer.loader)
    keeper = type(
        "Keep", (Hook,), {"at_rest": lambda s, t: states.update({t.step: t.state()} if t.step in keep else {})}
    )
    trainer.hooks = [curriculum, *trainer.hooks, keeper()]
    if warmed:
        warm_up(trainer, 0.0)
    honest = trainer.loss
    trainer.loss = lambda x, y: drew.append(tuple(x.shape)) or honest(x, y)
    return trainer, trainer.fit(resume), drew, states


def test_stages_begin_at_their_fractions_once_and_tokens_are_counted():
    trainer, result, drew, _ = trained()
    assert drew == [(4, 4)] * 4 + [(2, 16)] * 4
    assert result.tokens == 4 * 16 + 4 * 32
    (told,) = trainer.listeners[0].of("switch")
    assert told.step == 4 and told.facts == {"what": "curriculum", "state": "stage", "stage": 1}
    assert "micro-batches of 2 windows of 16 tokens after 4 steps" in told.text
    assert [(p.start, p.end) for p in trainer.hooks[0].phases()] == [(0.0, 0.5), (0.5, 1.0)]


def test_by_the_clock_too():
    # A batch takes a second to draw; half batches take two steps to use it up.
    _, _, drew, _ = trained(steps=None, seconds=6.0, hooks=[Wallclock()])
    assert drew[:5] == [(4, 4)] * 5 and set(drew[5:]) == {(2, 16)}


def test_a_run_goes_on_to_the_bit_from_any_stage_and_a_warm_up_leaves_no_trace():
    _, expected, _, states = trained(keep=(3, 4, 5))
    for state in states.values():
        result = trained(resume=state)[1]
        assert result.tokens == expected.tokens
        assert all(torch.equal(result.state[name], value) for name, value in expected.state.items())
    warmed = trained(warmed=True)[1]
    assert all(torch.equal(warmed.state[name], value) for name, value in expected.state.items())


def test_the_warm_up_sees_every_shape():
    trainer, _, _, _ = trained()
    drew, honest = [], trainer.loss
    fresh = rig(steps=8)
    curriculum = growing((0.0, 0.5), (4, 1), (2, 1), 2, 16)
    fresh.loader, fresh.hooks = curriculum.wrap(fresh.loader), [curriculum]
    honest = fresh.loss
    fresh.loss = lambda x, y: drew.append(tuple(x.shape)) or honest(x, y)
    warm_up(fresh, 0.0)
    assert drew == [(4, 4), (2, 16)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(windows=(4, 2)), "one number for each stage"),
        (dict(starts=(), windows=(), batches=()), "one number for each stage"),
        (dict(starts=(0.1, 0.2, 0.3)), "the first 0"),
        (dict(starts=(0.0, 0.5, 0.5)), "rising"),
        (dict(starts=(0.0, 0.5, 1.0)), "rising"),
        (dict(windows=(3, 2, 1)), "window_divisors: 3 does not divide a window of 8 tokens"),
        (dict(batches=(8, 2, 1)), "batch_divisors: 8 does not divide a micro-batch of 4 windows"),
        (dict(batches=(0, 2, 1)), "whole numbers from 1 on"),
    ],
    ids=str,
)
def test_what_cannot_be_cut_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        growing(**settings)
