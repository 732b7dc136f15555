"""A run's name is a pure function of what it computes."""

import re
import shutil
import subprocess
import sys

import pytest

from pgolf.config import naming
from pgolf.config.compose import compose, settings
from pgolf.config.content import STEERING
from pgolf.config.naming import MAX_LENGTH, config_hash, run_name
from pgolf.config.options import conf_dir

ROOT = conf_dir().parent


def name(*words):
    cfg = settings(compose(words))
    return run_name(cfg, cfg["choices"])


def words_of(*words):
    return name(*words).rpartition("-")[0]


def test_the_name_says_arch_tokenizer_quantizer_and_budget():
    assert re.fullmatch("baseline-bpe4096-fitted_gptq-laptop-[0-9a-f]{6}", name())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["size=tiny"], "baseline-bpe4096-fitted_gptq-tiny-laptop"),
        (["quant=int5_rtn", "qat=ste_full"], "baseline-bpe4096-int5_rtn-ste_full-laptop"),
        (
            ["compressor=zlib", "eval=sliding"],
            "baseline-bpe4096-fitted_gptq-zlib-sliding-laptop",
        ),
        (["data=tiny", "loader=sequential"], "baseline-bpe4096-fitted_gptq-tiny-sequential-laptop"),
        (["hook=[wallclock]"], "baseline-bpe4096-fitted_gptq-no_validate-laptop"),
        (
            ["~hook.validate", "averaging=none", "budget=smoke"],
            "baseline-bpe4096-fitted_gptq-no_averaging-no_validate-smoke",
        ),
        (["quant=none"], "baseline-bpe4096-no_quant-laptop"),
        (["arch=pr1855"], "pr1855-bpe4096-fitted_gptq-laptop"),
        (
            ["arch=pr1855", "arch/addon=[canon]", "~arch.addons.xsa"],
            "pr1855+canon+no_xsa-bpe4096-fitted_gptq-laptop",
        ),
        (["arch=parallel_recur", "arch/lanes=p4"], "parallel_recur+p4-bpe4096-fitted_gptq-laptop"),
        (["arch=parallel_recur", "arch/lanes=p1"], "parallel_recur-bpe4096-fitted_gptq-laptop"),
        (["arch=pr1204", "arch/recurrence=none"], "pr1204+no_recurrence-bpe4096-fitted_gptq-laptop"),
        (["quant=int5_gptq", "quant/scale=sdclip"], "baseline-bpe4096-int5_gptq+sdclip-laptop"),
        (["optimizer/normalize=rows"], "baseline-bpe4096-fitted_gptq-muon_adamw+rows-laptop"),
        (["optimizer=normuon", "optimizer/decay=cautious"], "baseline-bpe4096-fitted_gptq-normuon+cautious-laptop"),
        (["optimizer=adamw"], "baseline-bpe4096-fitted_gptq-adamw-laptop"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_every_group_shows_its_word_where_it_is_not_the_default(words, expected):
    assert words_of(*words) == expected


@pytest.mark.parametrize(
    "words",
    [
        ["seed=7", "logger=[jsonl]"],
        ["run_root=elsewhere", "cache_dir=there", "overwrite=true", "print_model=true"],
        ["notes=hello", "hypothesis=better", "parent_run=x"],
        ["eval.window=512"],  # as the size gives it
        ["size.stride=64"],  # read by eval=sliding alone
        ["quant=fitted_gptq", "arch/lanes=none"],
    ],
    ids=" ".join,
)
def test_what_changes_nothing_that_is_read_does_not_change_the_name(words):
    assert name() == name(*words)


def test_a_key_that_steers_does_not_change_the_name_whatever_it_is():
    cfg = settings(compose())
    changed = cfg | dict.fromkeys(STEERING, "other") | {"machine": {"device": "cuda"}}
    assert run_name(changed, cfg["choices"]) == name()


def test_anything_that_changes_the_computation_changes_the_name():
    names = {
        name(),
        name("quant.bits=4"),
        name("train.grad_clip=1.0"),
        name("size.width=192"),
        name("size.eval_batch=4"),
        name("arch.logit_softcap=15.0"),
    }
    assert len(names) == 6


@pytest.mark.parametrize(
    ("one", "other"), [("schedule.floor=0", "schedule.floor=0.0"), ("train.grad_clip=1", "train.grad_clip=1.0")]
)
def test_a_number_written_in_two_ways_is_one_run(one, other):
    assert name(one) == name(other)


def test_the_hash_does_not_depend_on_key_order():
    cfg = settings(compose())
    assert config_hash(cfg) == config_hash(dict(reversed(cfg.items())))


def test_the_name_is_a_file_name_of_bounded_length_whatever_the_options_are_called():
    cfg = settings(compose())
    addons = {f"addon_number_{n}": {} for n in range(40)}
    cfg |= {"arch": cfg["arch"] | {"addons": addons}}
    choices = cfg["choices"] | {"experiment": "ours/ä b=[1]", "tokenizer": "x" * 200, "budget": "-b" * 99}
    found = run_name(cfg, choices)
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*", found) and len(found) <= MAX_LENGTH
    assert found.startswith("ours___b__1_-baseline+40_parts-xxx") and found.endswith(config_hash(cfg)[:6])


NAMES = """
from pgolf.config.compose import compose, settings
from pgolf.config.naming import run_name
for words in ([], ["size=record", "arch=pr1204"], ["arch/addon=[canon]", "quant=int5_rtn", "qat=ste"]):
    cfg = settings(compose(words))
    print(run_name(cfg, cfg["choices"]))
"""


def test_a_preset_and_a_technique_more_rename_no_run(tmp_path):
    for part in ("pgolf", "conf"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))

    def names():
        command = [sys.executable, "-c", NAMES]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    before = names()
    (tmp_path / "conf/arch/pr2000.yaml").write_text(
        "defaults: [baseline, override lanes: p4, _self_]\nlayers: ${by_size:6,6,12}\n"
    )
    (tmp_path / "conf/schedule/cosine.yaml").write_text("_target_: pgolf.schedule.cosine.Cosine\nfloor: 0.0\n")
    (tmp_path / "pgolf/schedule/cosine.py").write_text("class Cosine:\n    def __init__(self, *, floor: float): ...\n")
    (tmp_path / "conf/size/wide.yaml").write_text("defaults: [laptop, _self_]\nwidth: 192\n")
    assert names() == before
    assert (
        len(set(before.split())) == 3 and naming.run_name(settings(compose()), settings(compose())["choices"]) in before
    )
