"""Every way a run can end leaves its result, its row, what there is of weights, and an open folder."""

import copy
import json
import signal
from functools import lru_cache
from types import SimpleNamespace

import pytest

from pgolf.config.compose import compose, settings
from pgolf.core.errors import DataError, OverBudget, RunError, UserError
from pgolf.core.events import Event
from pgolf.core.results import TrainResult
from pgolf.core.signals import Stopped, heeding_signals
from pgolf.data.closed import ValidationClosed
from pgolf.logger.jsonl import Jsonl
from pgolf.run import record, stages
from pgolf.run.listeners import ParseableLog, Screen
from pgolf.run.record import Run
from pgolf.track.experiments import append_row, read_rows
from pgolf.track.textlog import TextLog
from pgolf.train.trainer import Trainer
from train import train

WORDS = (
    "size=tiny",
    "data=tiny",
    "tokenizer=bytes",
    "budget=smoke",
    "budget.subset_tokens=100",
    "budget.train_steps=3",
    "quant=int5_rtn",
    "compressor=zlib",
    "ngram=none",
    "mixer=none",
    "hook=[]",
    "logger=[jsonl]",
    "train.compile=never",
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@lru_cache(1)  # mostly there are no further words
def composed(*words):
    return settings(compose([*WORDS, *words]))


def start(tmp_path, cache, *words):
    places = {"run_root": str(tmp_path), "cache_dir": str(cache)}
    return train(copy.deepcopy(composed(*words)) | places, list(words))


@pytest.fixture(scope="module")
def said(tmp_path_factory, cache):
    """What the sealed processes of a run say."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        for name in ("score_sealed", "prove"):
            patch.setattr(stages, name, remembering(getattr(stages, name), found, name))
        assert start(tmp_path_factory.mktemp("first"), cache)[1] == 0
    return found


def remembering(stage, found, name):
    def called(*args, **kwargs):
        found[name] = stage(*args, **kwargs)
        return found[name]

    return called


@pytest.fixture
def proved(said, monkeypatch):
    """Runs of the same words are the same to the bit: their sealed processes would say the same again."""
    monkeypatch.setattr(stages, "score_sealed", lambda *args, **kwargs: said["score_sealed"])
    monkeypatch.setattr(stages, "prove", lambda *args, **kwargs: said["prove"])


def left(tmp_path):
    """The result, the row and the names of the files that a run left."""
    (folder,) = tmp_path.glob("*/seed=1337")
    assert not (folder / ".lock").exists()
    result = json.loads((folder / "result.json").read_text())
    (row,) = read_rows(tmp_path / "experiments.csv")
    assert row["status"] == result["status"]
    return result, {path.name for path in folder.iterdir()}


def raising(error):
    def stage(*args, **kwargs):
        raise error

    return stage


def test_a_run_of_anothers_weights_says_that_nothing_is_compiled_or_cast(tmp_path, cache):
    cfg = settings(compose([*WORDS, "train.compile=always", "train.precision=bf16", f"run_root={tmp_path}"]))
    for trains, expected in ((True, (True, "bfloat16")), (False, (False, "none"))):
        with Run.open(cfg | {"rerun": True}, [], trains=trains) as run:
            assert (run.machine["compile"], run.machine["autocast"]) == expected


def test_what_was_odd_in_training_stands_in_the_result(tmp_path, cache):
    cfg = settings(compose([*WORDS, f"run_root={tmp_path}"]))
    with Run.open(cfg, []) as run:
        run.tell("anomaly", "no gradient but zero in 4 steps: a.b", step=4, kind="dead", names=("a.b",))
        run.tell("anomaly", "loss spike at step 9", step=9, kind="spike", loss=float("inf"), mean=2.0)
        kept = run.account()["anomalies"]
    result, _ = left(tmp_path)
    assert [(one["step"], one["kind"]) for one in result["anomalies"]] == [(4, "dead"), (9, "spike")]
    assert result["anomalies"][0]["names"] == ["a.b"] and result["anomalies"][1]["loss"] is None
    assert kept == result["anomalies"], "a run that is resumed has them from its checkpoint"


ENDINGS = [
    ("prepare_dataset", DataError("no text"), "failed"),
    ("check_long_enough", DataError("too short"), "failed"),
    ("build_trainer", RuntimeError("no memory"), "failed"),
    ("wants_compile", OSError(28, "disk full"), "failed"),
    ("score_weights", KeyboardInterrupt(), "interrupted"),
    ("pack_weights", OverBudget("too many bytes"), "failed"),
    ("artifact_record", MemoryError(), "failed"),
    ("score_sealed", UserError("the sealed process ended"), "failed"),
    ("certify", SystemExit(3), "failed"),
]
TRAINED = [name for name, _, _ in ENDINGS[4:]]


@pytest.mark.parametrize(("where", "error", "status"), ENDINGS, ids=lambda value: str(value))
def test_a_run_that_breaks_off_anywhere_keeps_what_it_has(where, error, status, tmp_path, cache, proved, monkeypatch):
    monkeypatch.setattr(stages, where, raising(error))
    with pytest.raises(type(error)) as caught:
        start(tmp_path, cache)
    assert caught.value is error
    result, files = left(tmp_path)
    assert result["status"] == status and (str(error) or type(error).__name__) in result["reason"] + "KeyboardInterrupt"
    assert ("weights.pt" in files) is (where in TRAINED)
    assert ("artifact.pgolf" in files) is (where in TRAINED[2:])


@pytest.mark.parametrize("where", ["build_trainer", "score_weights", "pack_weights", "evaluation_from"])
def test_whatever_opens_validation_before_the_artifacts_scores_on_dev_stand_ends_the_run(
    where, tmp_path, cache, monkeypatch
):
    honest = getattr(stages, where)

    def peeking(*args, **kwargs):
        (shard,) = cache.rglob("fineweb_val_000000.bin")
        shard.read_bytes()
        return honest(*args, **kwargs)

    monkeypatch.setattr(stages, where, peeking)
    with pytest.raises(ValidationClosed):
        start(tmp_path, cache)
    result, _ = left(tmp_path)
    assert result["status"] == "failed" and "validation is closed until the artifact's hash" in result["reason"]
    assert result["scores"]["final"] is None


@pytest.mark.parametrize("moment", ["start", "log", "finish"])
def test_a_logger_that_raises_fails_no_run_and_is_named_once(moment, tmp_path, cache, proved, monkeypatch, capsys):
    monkeypatch.setattr(Jsonl, moment, raising(TypeError("cannot log this")))
    assert start(tmp_path, cache)[1] == 0
    result, files = left(tmp_path)
    assert result["status"] == "finished" and "weights.pt" in files
    assert capsys.readouterr().out.count("Jsonl failed (TypeError: cannot log this)") == 1


@pytest.mark.parametrize("error", [RunError("disk full"), RuntimeError("device lost")], ids=str)
def test_weights_that_cannot_be_written_cost_nothing_else(error, tmp_path, cache, proved, monkeypatch, capsys):
    monkeypatch.setattr(record, "save_weights", raising(error))
    assert start(tmp_path, cache)[1] == 0
    result, files = left(tmp_path)
    assert result["status"] == "finished" and "weights.pt" not in files
    assert str(error) in capsys.readouterr().out


def test_a_run_whose_result_cannot_be_written_keeps_the_rest_and_is_no_success(
    tmp_path, cache, proved, monkeypatch, capsys
):
    monkeypatch.setattr(record, "write_result", raising(RunError("disk full")))
    assert start(tmp_path, cache)[1] == RunError.exit_status
    (row,) = read_rows(tmp_path / "experiments.csv")
    (folder,) = tmp_path.glob("*/seed=1337")
    assert row["status"] == "finished" and (folder / "weights.pt").is_file() and not (folder / ".lock").exists()
    assert "record: disk full" in capsys.readouterr().out


def test_what_fails_while_the_record_is_written_does_not_hide_what_ended_the_run(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(stages, "score_weights", raising(DataError("what ended it")))
    monkeypatch.setattr(record, "save_weights", raising(RuntimeError("device lost")))
    with pytest.raises(DataError, match="what ended it"):
        start(tmp_path, cache)
    assert left(tmp_path)[0]["reason"] == "what ended it"


def test_a_signal_in_the_ending_loses_nothing_of_the_record(tmp_path, cache, proved, monkeypatch):
    def signalled(*args):
        signal.raise_signal(signal.SIGTERM)
        append_row(*args)

    monkeypatch.setattr(record, "append_row", signalled)
    with heeding_signals(), pytest.raises(Stopped):
        start(tmp_path, cache)
    result, files = left(tmp_path)
    assert result["status"] == "finished" and "weights.pt" in files


def test_weights_that_are_out_of_reach_leave_the_last_good_ones(tmp_path, cache, monkeypatch):
    real = Trainer.weights

    def weights(trainer):
        if trainer.step:
            raise RuntimeError("device lost")
        return real(trainer)

    monkeypatch.setattr(Trainer, "weights", weights)
    with pytest.raises(RuntimeError, match="device lost"):
        start(tmp_path, cache)
    assert "weights.pt" in left(tmp_path)[1]


def test_a_score_that_came_too_late_is_kept_and_does_not_count(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(stages, "PATIENCE", 1e6)
    assert start(tmp_path, cache, "budget.eval_seconds=0.001")[1] == 3
    result, files = left(tmp_path)
    assert result["status"] == "over_time" and "of 0.001 allowed" in result["reason"]
    assert not result["scores"]["final"]["valid"] and result["certificate"]["passed"] and "weights.pt" in files


@pytest.mark.parametrize(
    ("seconds", "calibration", "steps", "anothers", "valid"),
    [
        (290.0, 10.0, None, False, True),
        (290.0, 10.9, None, False, True),  # the step in which the clock ran out
        (290.0, 11.1, None, False, False),
        (301.1, 0.0, None, False, False),
        (900.0, 50.0, 300, False, True),
        (301.1, 0.0, None, True, True),
    ],
)
def test_training_by_the_clock_that_took_longer_than_allowed_does_not_count(
    seconds, calibration, steps, anothers, valid
):
    trained = TrainResult({}, seconds, round(seconds), 1, "wallclock")  # of a second a step
    ledger = SimpleNamespace(as_dict=lambda: {"train": 2 * seconds, "calibrate": calibration})
    budget = {"train_seconds": 300.0, "train_steps": steps}
    run = SimpleNamespace(cfg={"budget": budget}, train=trained, trained_before=anothers, ledger=ledger)
    assert (Run._overran(run) == "") is valid
    assert valid or "more than the 300 allowed" in Run._overran(run)


def test_a_disk_that_refuses_train_log_does_not_end_the_run(tmp_path):
    said = []
    with TextLog(tmp_path / "train.log") as log:
        listener = ParseableLog(log, "int5", "zlib", 30.0, say=said.append)
        log.write = raising(RunError("train.log: cannot be written: No space left on device"))
        for step in (1, 2):
            listener.hear(Event("step", step, {"train_loss": 1.0, "train_seconds": step}))
    assert said == ["train.log: cannot be written: No space left on device; the run goes on without it"]


def test_a_label_and_its_text_are_apart_however_long_it_is():
    lines = []
    screen = Screen(SimpleNamespace(line=lines.append))
    for name in ("dev", "checkpoint"):
        screen.hear(Event(name, text="one\ntwo"))
    assert lines == ["dev      one", "         two", "checkpoint one", "         two"]
