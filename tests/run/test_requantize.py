"""Everything after training, again, from a finished run's weights."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from pgolf.cli.main import main
from pgolf.config.requantize_words import read_words
from pgolf.core.errors import ConfigError, RunError
from pgolf.run import stages
from pgolf.run.requantize import _say_what_the_script_cannot, requantize
from pgolf.track.experiments import read_rows
from pgolf.track.measured import place_of, read_measured
from tests import warm
from tests.helpers import SMOKE, tiny_settings

ROOT = Path(__file__).resolve().parents[2]
TINY = (*SMOKE, "compressor=brotli", "budget.train_steps=5", "budget.subset_tokens=100")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    home = tmp_path_factory.mktemp("run")
    words = [*TINY, "quant=int6_rtn", f"cache_dir={home / '.cache'}"]
    done = warm.run("train.py", *words, cwd=home, environment={**os.environ, "HOME": str(home)})
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = (home / "runs").glob("*/seed=1337")
    return folder


def result(folder):
    return json.loads((folder / "result.json").read_text())


def runs_like(run, pattern):
    return sorted(run.parent.parent.glob(pattern))


def test_the_runs_own_words_give_its_artifact_again_to_the_bit(run):
    assert requantize(run, ["rerun=true"]) == 0
    again = run.with_name("seed=1337.r2")
    ours, theirs = result(again), result(run)
    assert ours["artifact"]["sha256"] == theirs["artifact"]["sha256"]
    assert ours["artifact"]["bytes_code"] == theirs["artifact"]["bytes_code"]
    assert ours["scores"]["final"]["val_bpb"] == pytest.approx(theirs["scores"]["final"]["val_bpb"], abs=1e-9)
    assert ours["certificate"]["passed"] and ours["train"] == theirs["train"]
    assert (again / "weights.pt").read_bytes() == (run / "weights.pt").read_bytes()


def test_a_sweep_measures_quantizers_without_making_runs_and_keeps_what_it_has_measured(run, tmp_path, capsys):
    grid = tmp_path / "bits.yaml"
    grid.write_text(
        "defaults: [config, _self_]\nsweep: bits\nstudy: {by: requantize}\nhydra: {mode: MULTIRUN, sweeper: {params: "
        "{quant: int6_rtn, compressor: brotli, quant.bits: '4,8,99'}}}\n"
    )
    before = runs_like(run, "*/seed=*")
    assert main(["sweep", str(grid), str(run)]) == 2  # no grid has 99 bits
    four, eight = read_measured(place_of(run, "bits"))
    assert four.bytes_total < result(run)["artifact"]["bytes_total"] < eight.bytes_total
    assert four.score["split"] == "dev" and runs_like(run, "*/seed=*") == before
    assert "1 failed" in capsys.readouterr().out
    main(["sweep", str(grid), str(run)])
    assert "2 kept, 1 failed" in capsys.readouterr().out and len(read_measured(place_of(run, "bits"))) == 2


def test_another_quantizer_makes_a_run_of_its_own_with_all_records(run):
    assert requantize(run, ["quant=int8_rtn", "compressor=zlib", "notes=why not"]) == 0
    (folder,) = runs_like(run, "*int8_rtn*/seed=1337")
    facts = result(folder)
    assert facts["status"] == "finished" and facts["certificate"]["passed"]
    assert facts["artifact"]["bytes_weights"] > result(run)["artifact"]["bytes_weights"]
    assert facts["scores"]["prequant"]["val_bpb"] == pytest.approx(
        result(run)["scores"]["prequant"]["val_bpb"], abs=1e-9
    )
    row = read_rows(run.parent.parent / "experiments.csv")[-1]
    assert row["parent_run"] == f"{run.parent.name}/{run.name}"
    assert (row["status"], row["notes"]) == ("finished", "why not; subset")
    assert {
        "config.yaml",
        "overrides",
        "train.log",
        "artifact.pgolf",
        "certificate.json",
        "train_gpt.py",
    } <= {path.name for path in folder.iterdir()}
    console = (folder / "console.log").read_text()
    assert "data=tiny size=tiny" in " ".join(console.split()) or "size=tiny data=tiny" in " ".join(console.split())
    words = (folder / "overrides").read_text().splitlines()
    assert "quant=int8_rtn" in words and "quant=int6_rtn" not in words and "size=tiny" in words


def test_a_sweep_scores_dev_and_leaves_validation_closed(run):
    assert requantize(run, ["quant=int5_rtn,none", "stop_after=dev", "hypothesis=bits"]) == 0
    for name in ("int5_rtn", "no_quant"):
        (folder,) = runs_like(run, f"*-{name}-*/seed=1337")
        facts = result(folder)
        assert facts["scores"]["final"] is None and facts["certificate"] is None
        assert facts["scores"]["dev"]["val_bpb"] > 0 and facts["status"] == "finished"


def test_single_keys_change_and_everything_else_stays_the_runs(run):
    ((cfg, _),) = read_words(run, ["quant.embedding_bits=7", "eval.block=64"])
    ((own, _),) = read_words(run, [])
    assert cfg["quant"] == {**own["quant"], "embedding_bits": 7}
    assert cfg["eval"] == {**own["eval"], "block": 64}
    assert {k: v for k, v in cfg.items() if k not in ("quant", "eval")} == {
        k: v for k, v in own.items() if k not in ("quant", "eval")
    }
    assert cfg["choices"]["quant"] == "int6_rtn" and cfg["size"]["name"] == "tiny"


def test_words_of_the_runs_old_quantizer_do_not_reach_the_new_one(run, tmp_path):
    copy = tmp_path / "name" / "seed=1"
    copy.mkdir(parents=True)
    (copy / "config.yaml").write_text((run / "config.yaml").read_text())
    (copy / "overrides").write_text("size=tiny\nquant=int6_rtn\nquant.bits=4\n")
    ((cfg, effective),) = read_words(copy, ["quant=int8_rtn"])
    assert cfg["quant"]["bits"] == 8 and effective == ["size=tiny", "quant=int8_rtn"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["arch=baseline"], "arch: fixed by the run"),
        (["optimizer.matrix_lr=1"], "optimizer.matrix_lr: fixed by the run"),
        (["seed=2"], "seed: fixed by the run"),
        (["quant=int6_rtm"], "Did you mean 'int6_rtn'?"),
        (["quant.bitts=6"], "Did you mean 'bits'?"),
        (["~quant.bits"], "can be changed, not added or taken away"),
        (["quant.bits=9"], "quant.bits: 9 is out of range"),
        (["stop_after=prequant"], "nothing is trained here"),
        (["overwrite=true"], "rerun=true keeps both"),
    ],
)
def test_other_words_are_refused_by_name(run, words, expected):
    with pytest.raises(ConfigError) as caught:
        requantize(run, words)
    assert expected in str(caught.value)
    assert (run / "weights.pt").is_file()


def test_of_an_experiment_its_evaluation_is_taken(run):
    ((cfg, effective),) = read_words(run, ["experiment=pr1026_valid", "mixer.share=0.3"])
    ((own, _),) = read_words(run, [])
    assert cfg["mixer"]["_target_"].endswith(".Surprise") and cfg["mixer"]["share"] == 0.3
    assert cfg["ngram"]["_target_"].endswith(".StrictBackoff") and cfg["eval"]["_target_"].endswith(".Sliding")
    assert {key: cfg[key] for key in ("arch", "size", "data", "quant")} == {
        key: own[key] for key in ("arch", "size", "data", "quant")
    }
    assert not any(word.startswith("experiment") for word in effective)
    with pytest.raises(ConfigError, match="experiment: one at a time"):
        read_words(run, ["experiment=pr1026,pr1026_valid"])
    with pytest.raises(ConfigError, match="no 'pr1027' in conf/experiment"):
        read_words(run, ["experiment=pr1027"])


def test_all_wrong_words_are_named_at_once(run):
    with pytest.raises(ConfigError) as caught:
        read_words(run, ["arch=baseline", "seed=2", "compressor=zlib"])
    assert len(caught.value.problems) == 2


def test_only_finished_runs_whose_weights_can_be_read_are_taken(run, tmp_path):
    with pytest.raises(RunError, match="cannot be read"):
        requantize(tmp_path, [])
    copy = tmp_path / "name" / "seed=1"
    copy.mkdir(parents=True)
    for name in ("config.yaml", "overrides", "result.json"):
        (copy / name).write_text((run / name).read_text())
    (copy / "weights.pt").write_bytes(b"no weights")
    with pytest.raises(RunError, match=r"weights\.pt: the run's weights cannot be read"):
        requantize(copy, [])
    torch.save({"weights": {}, "schedule": "plain"}, copy / "weights.pt")
    with pytest.raises(RunError, match=r"weights\.pt: written by an older pgolf"):
        requantize(copy, [])
    (copy / "result.json").write_text(json.dumps({**result(run), "status": "interrupted"}))
    with pytest.raises(RunError, match="ended as 'interrupted'"):
        requantize(copy, [])


def test_a_script_that_can_score_but_not_train_is_announced():
    said = []
    listener = SimpleNamespace(tell=lambda name, text: said.append(text))
    _say_what_the_script_cannot(listener, tiny_settings("quant=int5_rtn", "qat=ste"))
    assert not said
    _say_what_the_script_cannot(listener, tiny_settings("quant=fitted_gptq", "qat=ste"))
    assert len(said) == 1 and "will score this artifact but not train one: qat=ste" in said[0]


def test_one_combination_that_cannot_be_leaves_the_others_their_turn(run, capsys):
    words = ["quant=int5_rtn", "quant.bits=4,3", "stop_after=dev"]
    assert requantize(run, [words[0], "quant.bits=4", "stop_after=dev"]) == 0
    assert requantize(run, words) == 2
    assert "overwrite=true" in capsys.readouterr().err
    assert sum(result(folder)["status"] == "finished" for folder in runs_like(run, "*int5_rtn*/seed=1337")) >= 2


def test_whatever_opens_validation_while_weights_are_packed_again_ends_that(run, monkeypatch, capsys):
    honest = stages.pack_weights

    def peeking(*args, **kwargs):
        (shard,) = run.parents[2].rglob("fineweb_val_000000.bin")
        shard.read_bytes()
        return honest(*args, **kwargs)

    monkeypatch.setattr(stages, "pack_weights", peeking)
    assert requantize(run, ["quant=int6_rtn", "quant.bits=7", "stop_after=dev"]) == 2
    assert "validation is closed until the artifact's hash is written" in capsys.readouterr().err
