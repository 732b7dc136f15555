"""Shares are those of the clock's laps, rates those of tokens and operations; looking changes nothing."""

import pytest
import torch

from pgolf.hook import timing
from pgolf.hook.timing import Timing
from pgolf.train.flops import training_flops
from pgolf.train.trainer import Hook
from tests.train.rig import rig

DELAYED = ("arch/recurrence=mini", "arch.recurrence.start=0.5")


class Keep(Hook):
    """The state after three steps."""

    def at_rest(self, trainer):
        if trainer.step == 3:
            self.kept = trainer.state()


@pytest.fixture(autouse=True)
def peak(monkeypatch):
    monkeypatch.setattr(timing, "matmul_peak", lambda device, dtype: 1e9)


def test_shares_rates_and_utilisation_are_those_of_the_interval():
    trainer = rig(hooks=[Timing(every=2, window=16)], steps=5)  # each batch takes one second of the clock, no more
    trainer.fit()
    told = [event for event in trainer.listeners[0].of("timing") if event.series]
    assert [event.step for event in told] == [2, 4]
    flops = training_flops(trainer.model, 16).total
    for event in told:
        facts = event.facts
        assert facts["time/data"] == 1.0 and facts["time/backward"] == 0.0
        assert facts["interval_tokens_per_second"] == 32.0
        assert facts["flops_utilisation"] == pytest.approx(32 * flops / 1e9)
    (end,) = [event for event in trainer.listeners[0].of("timing") if event.text]
    assert "data 100.0 %" in end.text and "32 tokens/s" in end.text


def test_looking_changes_nothing_and_a_resumed_process_counts_its_own_tokens():
    plain, watched = rig(steps=6), rig(hooks=[Timing(every=2, window=16), Hook()], steps=6)
    expected = plain.fit()
    rig(hooks=[Timing(every=2, window=16), keep := Keep()], steps=6).fit()
    found = watched.fit(keep.kept)
    assert all(torch.equal(value, found.state[name]) for name, value in expected.state.items())
    told = [event.facts for event in watched.listeners[0].of("timing") if event.series]
    assert [facts["interval_tokens_per_second"] for facts in told] == [32.0, 32.0]


def test_a_route_that_is_switched_on_has_its_own_operations():
    hook = Timing(every=1, window=16)
    trainer = rig(hooks=[hook], words=DELAYED)
    hook.at_start(trainer)
    first = hook._count(trainer)
    trainer.model.use(list(trainer.model.routes)[-1])
    assert hook._count(trainer) > first
