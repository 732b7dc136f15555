"""A run that stops and goes on is the run that did not stop: every option that has a state of its own, to the bit."""

from functools import cache

import pytest
import torch

from pgolf.build import build_model, build_trainer
from pgolf.config.compose import compose, conf_dir, settings
from pgolf.core.process import Process, seed_everything
from pgolf.data.prepare import silent
from pgolf.data.tiny import Tiny
from pgolf.tokenizer.bytes import Bytes
from pgolf.train.clock import TrainClock
from pgolf.train.trainer import Hook
from tests.train.rig import FakeTime, Heard

STEPS = 12
TINY = (
    "size=tiny",
    "data=tiny",
    "tokenizer=bytes",
    "quant=int5_rtn",
    "train.precision=fp32",
    "train.window=16",
    "train.batch_tokens=32",
    "schedule.fraction=1.0",
    "optimizer.ns_dtype=float32",
    "hook=[validate,wallclock]",
)
BY_STEPS = (f"budget.train_steps={STEPS}",)
BY_SECONDS = (f"budget.train_seconds={STEPS}",)
QATS = sorted(path.stem for path in (conf_dir() / "qat").glob("*.yaml"))
# Of a method that is here under another name too.
OTHER_NUMBERS = ("crown_q_pr860", "ste_full", "ste_quantile", "soft_round_sigmoid")
SWITCHES = {
    "mini": ("arch/recurrence=mini", "arch.recurrence.start=0.5"),
    "down": ("arch/recurrence=mini", "arch.recurrence.start=0.5", "arch.recurrence.untie_mlp=down"),
    "segments": ("arch/recurrence=segment_loop", "arch.recurrence.starts=[0.3,0.7]", "arch.recurrence.carry=true"),
    "encoder": ("arch/recurrence=encoder", "arch.recurrence.start=0.5"),
    "routed": ("arch/recurrence=mini", "arch.recurrence.start=0.5", "arch/mlp=polyglu_routed"),
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return Tiny(document_count=20, document_bytes=500, text_seed=0).prepare(
        Bytes(), tmp_path_factory.mktemp("data"), 3000, silent
    )


@cache
def composed(*words):
    return settings(compose(words))


class Score:
    val_bpb, val_loss = 1.0, 2.0


def started(words, dataset, seed):
    """A trainer as train.py builds it, whose seconds pass with its batches, and what listens to it."""
    cfg = composed(*TINY, *words)
    seed_everything(seed)
    model = build_model(cfg, dataset, torch.device("cpu"))
    trainer = build_trainer(cfg, model, dataset, Process(rank=0, world=1), score_dev=lambda state, tokens: Score())
    time = FakeTime()
    trainer.clock = TrainClock(now=time)
    honest = trainer.loader.next_batch

    def next_batch():
        time.now += 1.0
        return honest()

    trainer.loader.next_batch = next_batch
    heard = Heard()
    trainer.listeners.append(heard)
    return trainer, heard


class KeepStates(Hook):
    """The trainer's state after these steps, through a file as a checkpoint would keep it."""

    def __init__(self, folder, at):
        self.folder, self.at = folder, at

    def at_rest(self, trainer):
        if trainer.step in self.at:
            torch.save(trainer.state(), self.folder / f"{trainer.step}.pt")


def check(words, dataset, folder, at):
    """Each of these states of one run leads to its end, from whatever other weights and random numbers one starts."""
    whole, heard = started(words, dataset, seed=0)
    whole.hooks.insert(0, KeepStates(folder, at))  # wherever it stands
    expected = whole.fit()
    whole.loader.close()
    live = {name: value.clone() for name, value in whole.model.state_dict().items()}
    for step in at:
        again, reheard = started(words, dataset, seed=99)
        again.hooks.insert(0, Hook())
        result = again.fit(resume=torch.load(folder / f"{step}.pt", weights_only=True))
        again.loader.close()
        assert (result.steps, result.tokens, result.seconds, result.stopped_by) == (
            expected.steps,
            expected.tokens,
            expected.seconds,
            expected.stopped_by,
        )
        assert again.model.active == whole.model.active
        for name, value in expected.state.items():
            assert torch.equal(result.state[name], value), (step, name)
        for name, value in live.items():
            assert torch.equal(again.model.state_dict()[name], value), (step, name)
        assert [e for e in reheard.events if e.step > step] == [e for e in heard.events if e.step > step], step


def starting(qat, moment):
    if qat == "none":
        return ("qat=none",)
    return (f"qat={qat}", f"qat.start={moment}", "qat.start_lr_scale=null")


@pytest.mark.parametrize("qat", [pytest.param(qat, marks=[pytest.mark.slow] * (qat in OTHER_NUMBERS)) for qat in QATS])
def test_every_method_of_training_for_the_grid_goes_on_to_the_bit(qat, dataset, tmp_path):
    check((*BY_STEPS, *starting(qat, 0.25), *SWITCHES["mini"]), dataset, tmp_path, at=[1, 5, 8, STEPS])


@pytest.mark.parametrize(
    "switch", [pytest.param(name, marks=[pytest.mark.slow] * (name in ("down", "encoder"))) for name in SWITCHES]
)
def test_every_recurrence_that_begins_in_mid_run_goes_on_to_the_bit(switch, dataset, tmp_path):
    check((*BY_STEPS, *starting("soft_round", 0.4), *SWITCHES[switch]), dataset, tmp_path, at=[4, 5, 6, 9])


@pytest.mark.parametrize("loader", ["shuffled", "sequential"])
def test_a_run_by_seconds_goes_on_to_the_bit_and_stops_where_it_would_have(loader, dataset, tmp_path):
    words = (f"loader={loader}", "train.accumulation=2", *starting("ste", 0.4), *SWITCHES["routed"])
    check((*BY_SECONDS, *words), dataset, tmp_path, at=[1, 3, 5, 6])
