"""A dry run says what a run would come to, trains nothing, and leaves nothing."""

import re

import pytest

from pgolf.config.compose import compose, settings
from pgolf.core.errors import ConfigError
from pgolf.train.trainer import Trainer
from tests.run.test_record import WORDS, cache, raising  # noqa: F401 - a fixture
from train import train

OURS = (*WORDS, "dry_run=true", "hook=[checkpoint,validate,wallclock]", "budget.train_steps=null")


def dry(cache, tmp_path, *words):  # noqa: F811
    return train(settings(compose([*OURS, f"run_root={tmp_path / 'runs'}", f"cache_dir={cache}", *words])), [])


def test_steps_phases_bytes_and_the_evaluation_are_forecast_and_nothing_is_trained_or_left(
    cache,  # noqa: F811
    tmp_path,
    monkeypatch,
    capsys,
):
    monkeypatch.setattr(Trainer, "fit", raising(AssertionError("it trained")))
    assert dry(cache, tmp_path, "arch/recurrence=mini")[1] == 0
    out = capsys.readouterr().out
    steps = int(re.search(r"steps +about ([\d,]+) steps of [\d,]+, then [\d,]+ ms fit 30 s", out)[1].replace(",", ""))
    tokens = int(re.search(r"s: ([\d,]+) tokens, \d+\.\d\d epochs", out)[1].replace(",", ""))
    assert tokens == 256 * steps and "timed    eagerly\n" in out
    (switch,) = re.findall(r"^ *([\d,]+) +50 – 100 %  recurrence", out, re.MULTILINE)
    assert 0 < int(switch.replace(",", "")) < steps
    assert re.search(r"forecast [\d,]+ of 2,000,000 bytes", out)
    assert not list(tmp_path.iterdir())


def test_a_phase_out_of_reach_is_refused(cache, tmp_path):  # noqa: F811
    late = ("arch/recurrence=mini", "arch.recurrence.start=null", "arch.recurrence.start_step=1000000000")
    with pytest.raises(ConfigError, match=r"out of reach: recurrence.* from step 1,000,000,000"):
        dry(cache, tmp_path, *late)
    with pytest.raises(ConfigError, match="never begins: recurrence"):
        dry(cache, tmp_path, *late, "budget.train_steps=20")
