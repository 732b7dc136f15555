import time
from types import SimpleNamespace

from pgolf.hook.validate import Validate
from pgolf.train.trainer import Hook
from tests.ranks import Forked, replicas
from tests.train.rig import rig


def test_validations_happen_at_even_fractions_outside_the_clock():
    hook = Validate(times=3, dev_tokens=100)
    trainer = rig(hooks=[hook], steps=40)

    def measure(state, tokens):
        trainer.loader.time.now += 1000.0
        assert tokens == 100 and state.keys() == trainer.model.state_dict().keys()
        return SimpleNamespace(val_bpb=1.0, val_loss=2.0)

    trainer.score_dev = measure
    result = trainer.fit()
    told = trainer.listeners[0].of("dev")
    assert [event.step for event in told] == [10, 20, 30]
    assert all(event.series and event.facts["dev_bpb"] == 1.0 for event in told)
    assert result.seconds == 40.0


class StopsItself(Hook):
    """The one of this rank, after three steps."""

    def __init__(self, rank):
        self.rank = rank

    def after_step(self, trainer):
        if trainer.replicas.rank == self.rank and trainer.step == 3:
            trainer.stop("told to")


def slow(found, hooks=()):
    """A run whose rank 0 scores for longer than the others wait for a message; the other would fail to."""
    trainer = rig(hooks=[*hooks, Validate(times=3, dev_tokens=100)], steps=4, replicas=found)

    def measure(state, tokens):
        assert found.rank == 0
        time.sleep(1.5)
        return SimpleNamespace(val_bpb=1.0, val_loss=2.0)

    trainer.score_dev = measure
    return trainer.fit().steps, [event.step for event in trainer.listeners[0].of("dev")]


def test_others_wait_for_rank_0_however_long_it_scores(tmp_path):
    join = replicas(silence_seconds=1.0)
    assert Forked(slow, tmp_path / "meeting", join=join).answers() == [(4, [1, 2, 3]), (4, [])]


def test_one_that_is_told_to_stop_where_a_validation_is_due_leaves_the_others_waiting_for_nothing(tmp_path):
    for rank, scored in ((0, [1, 2]), (1, [1, 2, 3])):
        work = lambda found: slow(found, [StopsItself(rank)])  # noqa: B023,E731 - it is called here
        found = Forked(work, tmp_path / f"meeting{rank}", join=replicas(silence_seconds=1.0)).answers()
        assert found == [(3, scored), (3, [])]
