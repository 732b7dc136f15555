"""What a config is called is held to what it is."""

import pytest

from pgolf.config.chosen import choice_problems, data_label
from pgolf.config.compose import compose, conf_dir, settings


def composed(*words):
    return settings(compose(["size=tiny", *words]))


def renamed(cfg, **choices):
    return cfg | {"choices": cfg["choices"] | {path.replace("_of_", "/"): option for path, option in choices.items()}}


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("arch=pr1204", "budget=official"),
        ("data=fineweb_caseops", "tokenizer=sp1024", "data.train_shards=1", "data.path=here"),
        ("experiment=laptop_record",),
        ("arch=mamba_hybrid", "quant=int5_gptq", "ttt=sgd", "ngram=backoff", "mixer=bucketed"),
    ],
)
def test_what_was_composed_is_what_it_is_called(words):
    assert list(choice_problems(composed(*words), conf_dir())) == []


@pytest.mark.parametrize(
    ("words", "choices", "told"),
    [
        (("data=tiny",), {"data": "sotu"}, "the config has pgolf.data.tiny.Tiny"),
        (("data=fineweb", "tokenizer=sp1024"), {"data": "fineweb_caseops"}, "data.repo_id=willdepueoai/parameter-golf"),
        ((), {"data": None}, "choices.data: None"),
        ((), {"data": "no_such"}, "choices.data: no_such"),
        ((), {"eval": "non_overlapping"}, "choices.eval: non_overlapping is chosen by name"),
        ((), {"arch_of_mlp": "leaky_relu2"}, "choices.arch/mlp: leaky_relu2"),
        ((), {"budget": "official"}, "choices.budget: official is chosen by name, whose name is official"),
        ((), {"size": "record"}, "the config has tiny"),
    ],
)
def test_another_name_than_the_nodes_is_found(words, choices, told):
    problems = list(choice_problems(renamed(composed(*words), **choices), conf_dir()))
    assert any(told in problem for problem in problems), problems


def test_an_option_of_another_version_is_not_judged_unless_it_is_the_data():
    assert list(choice_problems(renamed(composed(), optimizer="of_old", arch_of_mlp="of_old"), conf_dir())) == []


def test_a_corpus_that_was_set_otherwise_is_not_called_by_the_options_name():
    cfg = composed("data=fineweb", "tokenizer=sp1024", "data.repo_id=mine")
    assert data_label(cfg, conf_dir()) == "data.repo_id=mine of fineweb"
    assert data_label(composed("data=tiny", "data.text_seed=3"), conf_dir()) == "data.text_seed=3 of tiny"
    assert data_label(cfg | {"data": {}}, conf_dir()) == ""
