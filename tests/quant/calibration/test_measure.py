"""Calibration in a run: only training text can reach it, in the time the budget leaves, the same on every repeat."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pgolf.build import build_loader, build_trainer
from pgolf.config.options import conf_dir
from pgolf.config.preflight import options
from pgolf.core.budget import seconds_left, training_seconds
from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.core.process import Process
from pgolf.data.dataset import Dataset
from pgolf.data.prepare import silent
from pgolf.data.tiny import Tiny
from pgolf.quant.calibration import measure as module
from pgolf.quant.calibration.hessian import HessianSums
from pgolf.quant.calibration.measure import TrainingBatches, calibrate, stage_of
from pgolf.quant.calibration.train import Train
from pgolf.run.rules import check
from pgolf.tokenizer.bytes import Bytes
from pgolf.track.ledger import CHARGED_TO
from tests.helpers import tiny_model, tiny_settings
from tests.train.rig import no_dev

SOURCES = options(conf_dir(), "quant/calibration")
PROCESS = Process(rank=0, world=1)
FAST = {"batches": 3, "sequences": 4, "tokens": 16, "batch": 4}


def source_of(option):
    target = f"pgolf.quant.calibration.{option}."
    given = tiny_settings("quant=gptq", f"quant/calibration={option}")["quant"]["calibration"]
    assert given["_target_"].startswith(target)
    return make(given | {key: value for key, value in FAST.items() if key in given})


class OnlyTrain(dict):
    """Shards by split, of which only the training ones may be asked for."""

    def __getitem__(self, split):
        assert split == "train", f"{split} reached the calibration"
        return super().__getitem__(split)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    corpus = Tiny(document_count=40, document_bytes=400, text_seed=0)
    return corpus.prepare(Bytes(), tmp_path_factory.mktemp("data"), 3000, silent)


@pytest.fixture
def guarded(dataset, monkeypatch):
    """The data set with everything but its training shards out of reach."""

    def refuse(*args, **kwargs):
        raise AssertionError("calibration read a stream")

    for method in ("stream", "sidecar_target_bytes", "target_bytes"):
        monkeypatch.setattr(Dataset, method, refuse)
    return replace(dataset, shards=OnlyTrain(dataset.shards))


@pytest.fixture
def seen(monkeypatch):
    """Every batch that is measured, in order."""
    batches, take = [], HessianSums.take

    def taking(self, ids_BT):
        batches.append(ids_BT.clone())
        take(self, ids_BT)

    monkeypatch.setattr(HessianSums, "take", taking)
    return batches


def model_for(dataset):
    return tiny_model(vocab_size=dataset.tokenizer.vocab_size)


def run(dataset, source, model=None, seed=1, limit=None):
    model = model_for(dataset) if model is None else model
    cfg = {**tiny_settings(), "seed": seed}
    loader = lambda: build_loader(cfg, dataset, PROCESS)  # noqa: E731
    return calibrate(model, model.state_dict(), source, loader, limit)


@pytest.mark.parametrize("option", SOURCES)
def test_no_source_can_reach_dev_or_validation(option, guarded, dataset, seen):
    train_N = np.concatenate([np.asarray(piece.open()) for piece in dataset.shards["train"]])
    found = run(guarded, source_of(option))
    assert found.tokens == sum(ids_BT.numel() for ids_BT in seen) > 0
    if option == "train":
        windows = np.lib.stride_tricks.sliding_window_view(train_N, seen[0].size(1))
        for row_T in torch.cat(seen).numpy():
            assert (windows == row_T).all(1).any(), "a window that is not training text"


def test_a_finished_run_draws_the_same_batches_again(dataset, seen):
    model, source = model_for(dataset), Train(batches=3, reserve_seconds=1)
    first = run(dataset, source, model)
    cfg = {**tiny_settings(), "seed": 1}
    trainer = build_trainer(cfg, model_for(dataset), dataset, PROCESS, score_dev=no_dev)
    for _ in range(5):
        trainer.loader.next_batch()
    trainer.loader.close()
    second = run(dataset, source, model)
    assert all(torch.equal(a, b) for a, b in zip(seen[:3], seen[3:], strict=True))
    assert all(torch.equal(first.hessians[name], second.hessians[name]) for name in first.hessians)
    run(dataset, source, model, seed=2)
    assert not torch.equal(seen[0], seen[6])


def test_the_given_weights_are_measured_in_eval_mode_and_the_active_schedule(dataset):
    model = tiny_model("arch=parallel_recur", vocab_size=dataset.tokenizer.vocab_size)
    model.use("recurrent")
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    weights = {name: 2 * value for name, value in before.items()}
    asked = []

    class Asking(Train):
        def collect(self, twin, batches):
            assert not twin.training and not any(p.requires_grad for p in twin.parameters())
            assert all(p.dtype == torch.float32 for p in twin.parameters())
            assert all(torch.equal(twin.state_dict()[name], value) for name, value in weights.items())
            asked.append(twin.active)
            return super().collect(twin, batches)

    loader = lambda: build_loader({**tiny_settings(), "seed": 1}, dataset, PROCESS)  # noqa: E731
    calibrate(model, weights, Asking(batches=1, reserve_seconds=1), loader, None)
    assert asked == ["recurrent"] and model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


class SlowLoader:
    """Batches of ids; drawing one takes as many fake seconds as ``time`` is told to."""

    def __init__(self, time, seconds):
        self.time, self.seconds, self.closed = time, iter(seconds), False

    def next_batch(self):
        self.time.now += next(self.seconds)
        return torch.zeros(1, 4, dtype=torch.int64), torch.zeros(1, 4, dtype=torch.int64)

    def close(self):
        self.closed = True


def drawn(monkeypatch, limit, seconds):
    time = SimpleNamespace(now=0.0, perf_counter=lambda: time.now)
    monkeypatch.setattr(module, "time", time)
    loader = SlowLoader(time, seconds)
    batches = TrainingBatches(lambda: loader, torch.device("cpu"), limit)
    count = 0
    while count < len(seconds) and batches() is not None:
        count += 1
    batches.close()
    assert loader.closed
    return count


def test_collection_ends_while_the_longest_batch_still_fits(monkeypatch):
    assert drawn(monkeypatch, 10.0, [2.0] * 9) == 5
    assert drawn(monkeypatch, 10.0, [2.0, 4.0] + [1.0] * 7) == 3  # 6 s gone, one more of 4 s fits, then none
    assert drawn(monkeypatch, 0.0, [2.0] * 9) == 1, "one batch in any case"


def test_a_fixed_number_of_steps_takes_all_batches_whatever_the_clock_says(monkeypatch):
    assert drawn(monkeypatch, None, [1000.0] * 9) == 9
    assert seconds_left({"train_steps": 20, "train_seconds": 30}, 29.0) is None
    assert seconds_left({"train_steps": None, "train_seconds": 30}, 23.5) == 6.5


def test_the_reserve_is_taken_off_the_training_seconds():
    source = Train(batches=1, reserve_seconds=6)
    timed, counted = {"train_seconds": 300, "train_steps": None}, {"train_seconds": 30, "train_steps": 20}
    assert training_seconds(timed, source.reserve_seconds) == 294
    assert training_seconds(timed, 0.0) == 300
    assert training_seconds(counted, source.reserve_seconds) == 30


def test_the_trainer_plans_with_the_reduced_time(dataset, monkeypatch):
    cfg = tiny_settings("budget.train_seconds=100")
    quantizer = SimpleNamespace(calibration_source=Train(batches=1, reserve_seconds=6))
    real = make
    monkeypatch.setattr(
        "pgolf.build.make", lambda node, **given: quantizer if node is cfg["quant"] else real(node, **given)
    )
    trainer = build_trainer(cfg, model_for(dataset), dataset, PROCESS, score_dev=no_dev)
    trainer.loader.close()
    assert trainer.plan.seconds == 94


def test_a_reserve_that_leaves_no_training_is_refused_at_once():
    with pytest.raises(ConfigError, match=r"quant\.calibration\.reserve_seconds: 9 leaves nothing of .* = 9"):
        check(tiny_settings("quant=gptq", "quant.calibration.reserve_seconds=9", "budget.train_seconds=9"))
    fixed = ("budget.train_seconds=9", "budget.train_steps=20")
    check(tiny_settings("quant=gptq", "quant.calibration.reserve_seconds=9", *fixed))


def test_a_model_that_cannot_write_is_refused_before_training():
    words = ("arch/mlp=polyglu_routed", "arch.mlp.routing=sequence_mean", "eval=sliding")
    with pytest.raises(ConfigError, match="self_generated cannot write with this model"):
        check(tiny_settings("quant=gptq", "quant/calibration=self_generated", *words))
    check(tiny_settings("quant=gptq", "quant/calibration=train", *words))


@pytest.mark.parametrize("option", SOURCES)
def test_only_calibration_on_training_text_is_charged_to_training(option):
    charged = CHARGED_TO.get(stage_of(source_of(option)))
    assert charged == ("train_seconds" if option == "train" else None)
