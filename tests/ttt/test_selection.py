"""Words and the parameters that they mean. Expected: by hand, from what the model says of its parameters."""

import pytest

from pgolf.core.errors import ConfigError
from pgolf.eval.evaluation import weights_for
from pgolf.eval.network import FixedNetwork
from pgolf.ttt.selection import selected
from tests.helpers import VOCAB, tiny_model
from tests.ttt.making import sgd


@pytest.fixture(scope="module")
def specs():
    return tiny_model().param_specs()


@pytest.fixture(scope="module")
def repeating():
    """Layers 0 1 2 3 2 3 4 5, with bigrams, value embeddings and more."""
    return tiny_model("arch=pr860")


def layer_of(name):
    """By the places that a baseline has."""
    return int(name.split(".")[1].split("_")[0]) if name.startswith(("layers.", "controls.")) else None


def test_all_means_all(specs):
    assert selected(specs, ["all"]) == list(specs)
    assert selected(specs, ["scalar", "all"]) == list(specs)


def test_layers_are_counted_from_both_ends_and_have_their_controls(specs):
    assert selected(specs, ["last_2"]) == [name for name in specs if layer_of(name) in (4, 5)]
    assert selected(specs, ["first_1"]) == [name for name in specs if layer_of(name) == 0]
    assert selected(specs, ["last_6", "embedding", "skip"]) == list(specs)


def test_groups_components_and_kinds(specs):
    assert selected(specs, ["matrix"]) == [name for name in specs if name.startswith("layers.")]
    assert selected(specs, ["attention"]) == [name for name in specs if ".mixer." in name]
    assert selected(specs, ["up"]) == [f"layers.{layer}.mlp.up.weight" for layer in range(6)]
    assert selected(specs, ["embedding"]) == ["embedding"]


def test_words_add_up_and_no_takes_away(specs):
    assert selected(specs, ["q.last_1", "q_gain"]) == [
        "layers.5.mixer.q.weight",
        *(f"controls.{layer}_0.q_gain" for layer in range(6)),
    ]
    assert selected(specs, ["all", "no_first_2", "no_embedding"]) == [
        name for name in specs if name != "embedding" and layer_of(name) not in (0, 1)
    ]
    assert selected(specs, ["no_q", "attention.first_1"]) == [
        f"layers.0.mixer.{name}.weight" for name in ("k", "v", "out")
    ]


def test_repeats_are_what_no_first_visit_has(repeating):
    specs = repeating.param_specs()
    tied = selected(specs, ["repeats"])
    assert tied and all("_1." in name for name in tied) and not any(name.startswith("layers") for name in tied)
    untied = weights_for(sgd(untie=True), FixedNetwork(repeating)).model.param_specs()
    more = set(selected(untied, ["repeats"])) - set(tied)
    assert len(more) == 12 and {untied[name].kind for name in more} == {"q", "k", "v", "out", "up", "down"}


@pytest.mark.slow
def test_published_numbers_of_parameters():
    """#606, #687: 5,780,500; #779: 273,412 (spec ttt §2), at their size and without memory."""
    import torch

    from pgolf.config.compose import compose, settings
    from pgolf.core.make import make

    with torch.device("meta"):
        model = make(settings(compose(["size=record", "arch=pr687"]))["arch"], vocab_size=1024, bos_id=1)
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    for words, expected in ((["last_2", "scales"], 5_780_500), (["q.last_1", "scales"], 273_412)):
        assert sum(sizes[name] for name in selected(model.param_specs(), words)) == expected


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (
            ["embeding"],
            r"'embeding': this model has no 'embeding'; there are all, attention, .*Did you mean 'embedding'",
        ),
        (["bigram"], "'bigram': this model has no 'bigram'; there are all, attention, control"),
        (["head"], "'head': this model has no 'head'"),
        (["last_7"], "'last_7': the model has 6 layers"),
        (["all", "no_last_0"], "'no_last_0': the model has 6 layers"),
        (["repeats"], "'repeats' names no parameter of this model; there are all"),
        (["q.mlp"], "'q.mlp' names no parameter"),
        (["matrix", "no_all"], r"\[matrix, no_all\] selects no parameter"),
        ([], r"\[\] selects no parameter"),
    ],
    ids=str,
)
def test_what_names_nothing_is_refused(specs, words, problem):
    with pytest.raises(ConfigError, match=f"ttt.trains: {problem}"):
        selected(specs, words)


def test_an_untied_head_has_a_word():
    specs = tiny_model("arch.tie_embeddings=false", vocab_size=VOCAB).param_specs()
    assert selected(specs, ["head"]) == ["head.weight"]
