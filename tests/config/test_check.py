"""All problems of a config are found at once, before anything slow."""

import copy
from functools import cache
from typing import Annotated, Any, Literal

import pytest

from pgolf.config.check import value_problem
from pgolf.config.compose import compose, settings
from pgolf.core.errors import ConfigError
from pgolf.core.make import make
from pgolf.core.ranges import Between
from pgolf.run import rules
from pgolf.run.rules import check
from tests.helpers import tiny_settings


@cache
def _composed(words):
    return settings(compose(words))


def composed(*words):
    """The settings of these words, to be changed at will; composed once."""
    return copy.deepcopy(_composed(words))


@pytest.fixture
def cfg():
    return composed()


def problems(cfg):
    with pytest.raises(ConfigError) as caught:
        check(cfg)
    return caught.value.problems


def test_the_defaults_pass(cfg):
    check(cfg)


@pytest.mark.parametrize(
    "words",
    [
        ["budget=smoke"],
        ["size=record", "budget=official", "tokenizer=sp1024", "data=fineweb"],
        ["size=tiny", "data=tiny", "tokenizer=bytes"],
    ],
)
def test_the_shipped_sizes_and_budgets_pass(words):
    check(composed(*words))


def test_a_wrong_key_type_and_range_are_all_reported(cfg):
    cfg["quant"]["bit"] = 5
    cfg["averaging"]["decay"] = 1.5
    cfg["optimizer"]["nesterov"] = "yes"
    found = problems(cfg)
    assert len(found) == 3
    assert any("quant.bit" in p and "Did you mean 'bits'?" in p for p in found)
    assert any("averaging.decay: 1.5 is out of range: from 0 to 1" in p for p in found)
    assert any("optimizer.nesterov: 'yes' is not true or false" in p for p in found)


def test_an_evaluation_that_the_model_has_no_memory_for_is_found_before_training():
    words = ["size=tiny", "eval=streaming", "arch/mlp=polyglu_routed"]
    check(composed(*words, "arch.mlp.routing=causal_mean"))
    (problem,) = problems(composed(*words, "arch.mlp.routing=sequence_mean"))
    assert problem.startswith("eval: streaming") and "polyglu_routed.Router" in problem


def test_a_missing_key_is_reported(cfg):
    del cfg["schedule"]["fraction"]
    assert "schedule.fraction: missing" in problems(cfg)[0]


@pytest.mark.parametrize("target", ["os.system", "pgolf.quant.rtn.Nothing", "pgolf.nowhere.Thing", None])
def test_a_foreign_or_missing_target_is_refused(cfg, target):
    cfg["quant"] = {"_target_": target} if target else {}
    assert "quant" in problems(cfg)[0]


def test_a_target_of_another_group_is_refused(cfg):
    cfg["quant"] = dict(cfg["schedule"])
    assert "outside pgolf.quant" in problems(cfg)[0]


def test_a_child_is_wanted_only_where_the_option_takes_it():
    for option in ("none", "ternary", "int6_rtn", "gptq"):
        check(composed(f"quant={option}"))


def test_a_missing_child_is_reported(cfg):
    del cfg["quant"]["scale"], cfg["arch"]["lanes"]
    found = problems(cfg)
    for group in ("quant/scale", "arch/lanes"):
        assert f"{group}: nothing chosen; say {group}=none where it should do nothing" in found


def test_a_wrong_key_of_a_child_is_reported_at_its_place():
    cfg = composed("quant=sdclip_gptq")
    cfg["quant"]["scale"] |= {"k": 0.0, "kk": 3.0}
    cfg["quant"]["policy"] |= {"gate_bits": 9}
    found = problems(cfg)
    assert len(found) == 3
    assert any("quant.scale.k: 0.0 is out of range: more than 0" in p for p in found)
    assert any(p.startswith("quant.scale.kk: SDClip takes k, component_k, embedding_k.") for p in found)
    assert any("quant.policy.gate_bits: 9 is out of range: from 2 to 8" in p for p in found)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["quant.target_bytes=900000"],
            "quant.target_bytes: a size is hit by multiplying k, and quant/scale=percentile has none. Choices: "
            "hessian_sdclip, sdclip",
        ),
        (["quant/policy=int6_last_n", "quant.policy.last=60"], "quant.policy.last: 60 of 6 layers"),
        (["quant/policy=late_k", "arch.no_attention=[4,5]"], "quant.policy.late_k_layers: the last 2 of 6"),
        (["quant/scale=hessian_sdclip"], "quant/scale: HessianSDClip reads the Hessians"),
    ],
)
def test_a_quantizer_that_cannot_be_built_or_does_not_fit_the_model_is_reported_once(words, message):
    (problem,) = problems(composed("quant=int5_rtn", *words))
    assert message in problem


@pytest.mark.parametrize(
    "place", ["seed", "size", "budget", "device", "hook", "size.width", "budget.cap_bytes", "train.compile"]
)
def test_a_saved_fact_that_is_missing_or_of_another_type_is_named(cfg, place):
    *above, key = place.split(".")
    for value in ("missing", None, [1], 3.5):
        changed = copy.deepcopy(cfg)
        node = changed[above[0]] if above else changed
        if value == "missing":
            del node[key]
        else:
            node[key] = value
        (problem,) = problems(changed)
        assert problem.startswith(f"{place}: ")


def test_groups_and_addons_that_are_no_mappings_are_named(cfg):
    cfg["quant"], cfg["hook"] = "int6", {"ema": 3}
    cfg["arch"]["mlp"] = [1]
    assert set(problems(cfg)) == {
        "quant: 'int6' is not a mapping",
        "hook.ema: 3 is not a mapping",
        "arch.mlp: [1] is not a mapping",
    }


@pytest.mark.parametrize("seed", [-1, 2**63, 2**64, 10**30])
def test_a_seed_is_a_number_that_every_generator_takes(cfg, seed):
    cfg["seed"] = seed
    (problem,) = problems(cfg)
    assert problem.startswith(f"seed: {seed} is out of range: ") and problem.endswith(f" {2**63 - 1}")


@pytest.mark.parametrize("ranks", [0, -1])
def test_an_evaluation_has_one_process_at_least(cfg, ranks):
    cfg["eval_ranks"] = ranks
    assert problems(cfg) == (f"eval_ranks: {ranks} is out of range: more than 0 and finite",)


@pytest.mark.parametrize("place", ["size.shard_tokens", "train.threads", "budget.train_steps", "quant.block_columns"])
def test_whole_numbers_end_where_those_of_tensors_do(cfg, place):
    group, key = place.split(".")
    cfg[group][key] = 2**63
    assert f"{place}: {2**63} is out of range: whole numbers end at {2**63 - 1}" in problems(cfg)


def test_a_model_beyond_every_memory_is_a_problem_of_its_size():
    (problem,) = problems(composed(f"arch.mlp_hidden={2**62}"))
    assert problem.startswith("arch: no model of this size can be built")


def test_windows_and_batches_are_cut_as_so_many_processes_will():
    words = ("curriculum=growing", "curriculum.starts=[0.0,0.5]", "curriculum.window_divisors=[1,1]")
    cfg = composed(*words, "curriculum.batch_divisors=[8,1]")
    check(cfg)
    cfg["train"]["processes"] = 2
    (problem,) = problems(cfg)
    assert problem.startswith("curriculum.batch_divisors")


def test_the_model_is_built_once_for_all_rules(cfg, monkeypatch):
    built = []
    monkeypatch.setattr(rules, "make", lambda node, **runtime: built.append(node["_target_"]) or make(node, **runtime))
    check(cfg)
    assert built.count(cfg["arch"]["_target_"]) == 1 == built.count(cfg["quant"]["_target_"])


class Counts:
    """An n-gram option that does something."""


def test_an_expert_from_counts_needs_a_mixer_as_the_options_say_themselves(cfg, monkeypatch):
    monkeypatch.setattr("pgolf.ngram.none.Counts", Counts, raising=False)
    monkeypatch.setattr("pgolf.core.make._options", None)  # of this class no file of conf/ knows
    cfg["ngram"], cfg["mixer"] = ({"_target_": f"pgolf.{name}"} for name in ("ngram.none.Counts", "mixer.none.Single"))
    assert problems(cfg) == ("mixer: the network and an n-gram expert need a mixer; mixer=none combines nothing",)


def test_only_a_tokenizer_that_counts_by_the_table_may_drop_the_tail():
    check(composed("tokenizer=sp1024", "data=fineweb", "eval.official_truncation=true"))
    (problem,) = problems(composed("eval.official_truncation=true"))
    assert "only a published vocabulary's metric" in problem


def test_fp16_on_a_cpu_is_refused(cfg):
    cfg["train"]["precision"] = "fp16"
    assert "fp16 is refused" in problems(cfg)[0]


def test_a_run_that_would_never_end_is_refused(cfg):
    del cfg["hook"]["wallclock"]
    assert "nothing would end the training" in problems(cfg)[0]


def test_a_batch_must_fill_whole_windows(cfg):
    cfg["train"]["batch_tokens"] = 4097
    assert "no multiple of window" in problems(cfg)[0]


@pytest.mark.parametrize(("key", "value"), [("window", 0), ("batch_tokens", -4096), ("grad_clip", 0.0)])
def test_facts_must_be_positive(cfg, key, value):
    cfg["train"][key] = value
    assert any(f"train.{key}" in p and "out of range" in p for p in problems(cfg))


@pytest.mark.parametrize(
    ("value", "hint", "fits"),
    [
        (5, int, True),
        (5.0, int, False),
        (True, int, False),
        (5, float, True),
        ("5", float, False),
        (None, int | None, True),
        ("a", Literal["a", "b"], True),
        ("c", Literal["a", "b"], False),
        (9, Annotated[int, Between(2, 8)], False),
        (0.0, Annotated[float, Between(0, open_low=True)], False),
        ([1, 2], list[int], True),
        ([1, "2"], list[int], False),
        ({}, dict[str, int], True),
        ("x", Any, True),
    ],
)
def test_values_are_held_to_their_annotations(value, hint, fits):
    assert (value_problem(value, hint) is None) == fits


def test_a_kernel_that_cannot_train_here_may_score_trained_weights():
    settings = tiny_settings("arch/attention=flex", "device=cpu")
    with pytest.raises(ConfigError, match="flex attention cannot train on a CPU"):
        check(settings)
    check(settings, trains=False)


@pytest.mark.parametrize(
    "words", [["certify=smoke"], ["budget.certify=smoke"], ["budget=smoke", "budget.subset_tokens=null"]]
)
def test_the_least_proof_is_for_a_slice_of_validation(words):
    with pytest.raises(ConfigError, match=r"certify: smoke is for a slice of validation"):
        check(composed(*words))


@pytest.mark.parametrize("words", [["budget=smoke"], ["certify=standard"], ["budget=smoke", "certify=full"]])
def test_more_proof_can_always_be_asked_for(words):
    check(composed(*words))
