"""A misspelt word is answered with the place, the choices and the nearest right word."""

import pytest

from pgolf.config.compose import compose, settings
from pgolf.config.launch import sorted_words
from pgolf.config.options import conf_dir
from pgolf.config.preflight import preflight
from pgolf.core.errors import ConfigError


def complaints(*words, sweeps=True):
    with pytest.raises(ConfigError) as caught:
        preflight(words, conf_dir(), lambda chosen: settings(compose(chosen)), sweeps=sweeps)
    return caught.value.problems


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("archh=baseline", "Did you mean 'arch'?"),
        ("arch=basline", "arch: no 'basline' in conf/arch. Did you mean 'baseline'?"),
        ("arch/mpl=relu2", "Did you mean 'arch/mlp'?"),
        ("arch/mlp=relu", "arch/mlp: no 'relu' in conf/arch/mlp. Did you mean 'relu2'?"),
        ("hook=[validte]", "hook: no 'validte' in conf/hook. Did you mean 'validate'?"),
        ("averaging=emma", "averaging: no 'emma' in conf/averaging. Did you mean 'ema'?"),
        ("quant=int6_rn", "Did you mean 'int6_rtn'?"),
        ("quant.bit=5", "Did you mean 'bits'?"),
        ("quant/scale=sdclp", "quant/scale: no 'sdclp' in conf/quant/scale. Did you mean 'sdclip'?"),
        ("quant/calibration=validation", "quant/calibration: no 'validation' in conf/quant/calibration"),
        ("quant/policies=trace", "Did you mean 'quant/policy'?"),
        ("quant.scale.embeding_k=1", "Did you mean 'embedding_k'?"),
        ("train.windw=64", "Did you mean 'window'?"),
        ("sed=3", "Did you mean 'seed'?"),
        ("eval.stride=64", "official_truncation. It is a setting of eval=documents and "),
        ("averaging.deacy=0.9", "Did you mean 'decay'?"),
        ("arch.attention.qkgain=2", "Did you mean 'qk_gain'?"),
        ("seed.value=3", "'seed' is a value and has no keys"),
        ("+quant.bit.deep=5", "Did you mean 'bits'?"),
        ("+sed=3", "Did you mean 'seed'?"),
        ("+size.widht=3", "Did you mean 'width'?"),
        ("seed=abc", "seed: 'abc' is not a whole number"),
        ("seed=1.5", "seed: 1.5 is not a whole number"),
        ("seed=1,x", "seed: 'x' is not a whole number"),
        ("train.grad_clip=high", "train.grad_clip: 'high' is not a number or null"),
        ("overwrite=maybe", "overwrite: 'maybe' is not true or false"),
        ("stop_after=prequnt", "stop_after: 'prequnt' is not one of prequant, dev or null"),
        ("device=gpu", "device: 'gpu' is not one of auto, cpu, cuda"),
        ("size.recurrent_layers=[a]", "size.recurrent_layers: ['a'] "),
        ("choices.arch=baseline", "choices.arch: the top level takes seed, "),
        ("~seed", "seed: can be changed, not taken away"),
        ("~size", "size: can be changed, not taken away"),
    ],
)
def test_a_misspelling_is_answered(word, expected):
    (problem,) = complaints(word)
    assert expected in problem


def test_all_problems_are_listed_at_once():
    assert len(complaints("arch=basline", "quant=int6", "size=lapto")) == 3


def test_a_wrong_option_does_not_hide_a_wrong_key():
    found = complaints("averaging=emma", "tokeniser=bpe4096", "train.windw=3")
    assert len(found) == 3 and any("Did you mean 'tokenizer'?" in problem for problem in found)


def test_a_wrong_option_hides_wrong_keys_of_its_own_group_alone():
    found = complaints("quant=int6_rtnn", "quant.bitts=3", "eval=sliding", "eval.stridee=3")
    assert len(found) == 2 and any("eval.stridee" in problem for problem in found)


def test_every_value_of_a_sweep_is_checked():
    (problem,) = complaints("quant=int6_rtn,int8")
    assert "no 'int8'" in problem and "Did you mean 'int8_rtn'?" in problem


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("arch=baseline", "quant=int8_rtn", "seed=1,2,3"),
        ("averaging=ema", "averaging.decay=0.9"),
        ("hook=[validate]", "hook.validate.times=1"),
        ("~hook.validate",),
        ("arch/mlp=relu2", "budget.train_steps=5"),
        ("experiment=null",),
        ("hydra.verbose=true",),
        ("quant=int6_rtn", "quant.bits=5"),
        ("quant=pr1855", "quant/scale=hessian_sdclip", "quant.scale.component_k={mlp:12}"),
        ("quant=int5_gptq,int6_gptq", "quant/calibration=random_tokens"),
    ],
)
def test_right_words_pass(words):
    preflight(words, conf_dir(), lambda chosen: settings(compose(chosen)))


@pytest.mark.parametrize("option", ["none", "ternary", "none,int6_gptq"])
def test_a_child_of_an_option_that_has_none_is_refused(option):
    (problem,) = complaints(f"quant={option}", "quant/scale=sdclip")
    assert problem == f"quant/scale: quant={option.split(',')[0]} has no child groups."


def test_a_child_that_an_option_does_not_take_is_answered_with_those_it_does():
    (problem,) = complaints("quant=int5_rtn", "quant/calibration=train")
    assert problem == "quant/calibration: quant=int5_rtn takes scale, policy, pruning, correction."


def test_an_unreadable_command_line_says_so():
    assert complaints("seed=[1,")[0].startswith("seed=[1,: breaks off at its end, after ','.")


def test_several_values_where_one_is_taken_are_answered_with_what_they_may_mean():
    (problem,) = complaints("notes=a, b", sweeps=False)
    assert problem == (
        "notes=a, b: several values are a sweep, and need -m of train.py. "
        "As a list: 'notes=[a, b]'. As a text: 'notes=\"a, b\"'"
    )


def test_hydra_flags_are_no_overrides():
    argv = ["-m", "seed=1,2", "-cd", "sweeps", "-cn", "bits", "--cfg", "job", "quant=none"]
    assert sorted_words(argv)[0] == ["seed=1,2", "quant=none"]


def test_a_group_without_settings_says_so():
    assert complaints("data.nope=1") == ("data.nope: data has no settings as chosen.",)


def checked(*words, swept=()):
    """The settings that are there with the options of a sweep alone."""
    late = set()
    preflight(words, conf_dir(), lambda chosen: settings(compose(chosen)), swept=swept, late=late)
    return late


def test_a_setting_may_be_that_of_every_option_of_a_sweep():
    assert checked("ttt=sgd,dynamic", "ttt.lr=0.1", "seed=1,2") == {"ttt.lr"}
    assert checked("ttt=sgd", "ttt.lr=0.1,0.2") == set()
    assert checked("ttt.lr=0.1", swept=["ttt=sgd", "seed=1,2"]) == {"ttt.lr"}
    assert checked("ttt=dynamic", "ttt.keep=0.1", swept=["ttt=none,sgd"]) == set()  # the axis is replaced
    assert checked("arch=baseline,pr187", "arch/mlp=leaky_relu2,gated", "arch.mlp.slope=0.3") == {"arch.mlp.slope"}
    assert checked("experiment=pr1026_eval,pr1204_eval", "eval.stride=64") == {"eval.stride"}


def test_one_that_some_of_its_options_have_not_is_answered_with_those():
    (problem,) = complaints("ttt=none,sgd", "ttt.lr=0.1")
    assert problem == "ttt.lr: ttt=none of this sweep has no such setting"
    (problem,) = complaints("quant=int5_gptq,int8_rtn,int6_rtn", "quant.damping=0.1")  # which the default has
    assert problem == "quant.damping: quant=int8_rtn, quant=int6_rtn of this sweep have no such setting"
    (problem,) = complaints("ttt=dynamic,sgd", "ttt.rlate=0.1")
    assert "ttt takes chunk_tokens" in problem
    (problem,) = complaints("experiment=pr1204,pr1205", "arch.layers=3")
    assert problem.startswith("experiment: no 'pr1205' in conf/experiment")
