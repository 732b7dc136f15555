"""Once its first steps are timed, a run says how far it will come, one time."""

from types import SimpleNamespace

from pgolf.core.events import Event
from pgolf.run.outlook import Outlook, outlook
from pgolf.train.pace import pace_of
from pgolf.train.phases import Phase

CFG = {"train": {"batch_tokens": 100}, "budget": {"train_seconds": 300.0}}


def trainer(steps, phases=()):
    model = SimpleNamespace(active="plain", routes={"plain": 0}, activations=lambda: ())
    plan = SimpleNamespace(seconds=288.0, steps=steps)
    return SimpleNamespace(model=model, plan=plan, schedule=None, phases=lambda: list(phases))


def heard(built, seconds, each=0.5):
    told = []
    listener = Outlook(CFG, lambda name, text: told.append((name, text)))
    dataset = SimpleNamespace(facts={"train": SimpleNamespace(tokens=5_000)})
    listener.hear(Event("data", facts={"dataset": dataset}))
    listener.hear(Event("built", facts={"trainer": built}))
    for step in range(1, int(seconds / each) + 1):
        listener.hear(Event("step", step, {"train_seconds": 20.0 + step * each}))  # the first took 20 s more
    return told


def test_it_is_said_once_after_ten_steps_and_two_seconds_whatever_the_first_step_took():
    assert heard(trainer(None), 5.0) == [] and heard(trainer(None), 1.5, each=0.1) == []
    phases = [
        Phase(0.5, 1.0, "grid", switch=True),
        Phase(0.1, 0.1, "a score"),
        Phase(0.0, 1.0, "loop", at_step=900, switch=True),
    ]
    assert heard(trainer(None, phases), 60.0) == [
        (
            "forecast",
            "about 576 steps of 500 ms fit 288 s (300 s less 12 s reserved for calibration): 57,600 tokens, "
            "11.52 epochs\nstep 288: grid\nlikely never: loop: from step 900 on, and the run ends after 576",
        )
    ]


def test_a_fixed_number_of_steps_is_told_with_its_seconds():
    ((_, text),) = heard(trainer(40), 20.0)
    assert text == "40 steps of 500 ms take about 20 s: 4,000 tokens, 0.80 epochs"


def test_routes_that_take_longer_are_named_in_order():
    switch = SimpleNamespace(route="late", start=0.5, steps=False)
    pace = pace_of({"plain": 1.0, "late": 2.0}, "plain", [switch], 100.0, None)
    assert outlook(pace, CFG, 1_000).startswith("about 75 steps of 1,000, then 2,000 ms fit 100 s (300 s less 200 s")
