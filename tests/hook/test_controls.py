"""Numbers of what is learned, over the steps."""

from pgolf.hook.controls import ControlCurves
from tests.train.rig import rig


def test_every_so_many_steps_what_is_learned_is_a_curve():
    trainer = rig(hooks=[ControlCurves(every=2)], steps=4)
    trainer.fit()
    told = trainer.listeners[0].of("controls")
    assert [event.step for event in told] == [2, 4] and all(event.series for event in told)
    facts = told[-1].facts
    assert all(isinstance(value, float) for value in facts.values())
    gains = trainer.model.controls["0_0"].q_gain.tolist()
    assert [facts[f"learned/controls.0_0/q_gain[{head}]"] for head in range(len(gains))] == gains
    assert told[0].facts != facts
