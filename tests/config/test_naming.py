"""A run's name is a pure function of what it computes."""

from pgolf.config.compose import compose, settings
from pgolf.config.naming import config_hash, run_name


def name(*words):
    cfg = settings(compose(words))
    return run_name(cfg, cfg["choices"])


def test_the_name_says_arch_tokenizer_quantizer_and_budget():
    assert name().startswith("baseline-bpe4096-fitted_gptq-laptop-")


def test_active_techniques_are_named_and_those_that_do_nothing_are_not():
    assert "-int5_rtn-ste_full-laptop-" in name("quant=int5_rtn", "qat=ste_full") and "none" not in name()


def test_seed_paths_and_loggers_do_not_change_the_name():
    assert name() == name("seed=7", "run_root=elsewhere", "logger=[jsonl]", "overwrite=true", "notes=hello")


def test_anything_that_changes_the_computation_changes_the_name():
    names = {
        name(),
        name("quant.bits=4"),
        name("train.grad_clip=1.0"),
        name("size.width=192"),
        name("arch.logit_softcap=15.0"),
    }
    assert len(names) == 5


def test_the_hash_does_not_depend_on_key_order():
    cfg = settings(compose())
    assert config_hash(cfg) == config_hash(dict(reversed(cfg.items())))
