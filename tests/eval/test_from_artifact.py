import copy
import dataclasses

import numpy as np
import pytest
import torch

from pgolf.artifact import container
from pgolf.config.compose import node
from pgolf.core.errors import ArtifactError, ConfigError
from pgolf.core.prediction import Batch, Span
from pgolf.eval.from_artifact import evaluation_from, terms_from
from pgolf.tokenizer.bytes import ByteTokenizer
from tests.proof.making import arch_node, eval_node, noisy_model, write_artifact


def log_probs(network, inputs_BT, keep):
    blocks = tuple(Span(lane, 0, inputs_BT.shape[1] - keep, inputs_BT.shape[1]) for lane in range(len(inputs_BT)))
    return network.log_probs(Batch(blocks, inputs_BT, keep)).logp_BKV


def test_the_evaluation_is_the_packed_model(tmp_path):
    evaluation = evaluation_from(container.read(write_artifact(tmp_path / "a.pgolf")))
    model = noisy_model(arch_node(), 260, 1).requires_grad_(False)
    inputs_BT = torch.randint(260, (2, 32))
    expected = model.logits(inputs_BT, 8).log_softmax(-1)
    torch.testing.assert_close(log_probs(evaluation.network, inputs_BT, 8), expected, rtol=0, atol=0)
    assert isinstance(evaluation.tokenizer, ByteTokenizer)
    assert (evaluation.method.window, evaluation.metric) == (32, "raw")
    assert len(evaluation.stream(np.array([1, 5, 6]))) == 3


def test_settings_can_be_overridden_but_not_the_model(tmp_path):
    loaded = container.read(write_artifact(tmp_path / "a.pgolf"))
    assert evaluation_from(loaded, overrides={"eval": eval_node(stride=16)}).method.stride == 16
    with pytest.raises(ConfigError, match="arch: fixed by the artifact"):
        evaluation_from(loaded, overrides={"arch": arch_node()})


@pytest.mark.parametrize("route", ["plain", "recurrent"])
def test_the_route_active_at_the_end_of_training_is_evaluated_with_its_own_weights(tmp_path, route):
    words = ["arch/recurrence=mini", "arch.recurrence.recurrent_layers=[0]", "arch.layers=2", "arch.width=32"]
    sizes = ["arch.heads=2", "arch.kv_heads=1", "arch.mlp_hidden=64"]
    arch = node("arch", "baseline", words + sizes)
    loaded = container.read(write_artifact(tmp_path / "a.pgolf", arch=arch, route=route))
    model = noisy_model(arch, 260, 1).requires_grad_(False)
    own, layer = model.own_mlps["0_1"].down.weight, model.layers[0].mlp.down.weight
    assert not torch.equal(own, layer)
    model.use(route)
    inputs_BT = torch.randint(260, (2, 32))
    expected = model.logits(inputs_BT, 8).log_softmax(-1)
    found = log_probs(evaluation_from(loaded).network, inputs_BT, 8)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_judge_and_evaluation_name_the_method_alike_with_all_that_stands_beside_the_windows(tmp_path):
    learners = {group: node(group, option) for group, option in (("ngram", "backoff"), ("mixer", "bucketed"))}
    plain, learning = write_artifact(tmp_path / "a.pgolf"), write_artifact(tmp_path / "b.pgolf", **learners)
    for path, overrides, expected in (
        (plain, {}, ()),
        (learning, {}, ("backoff", "bucketed")),
        (learning, {"ttt": node("ttt", "sgd", ["ttt.chunk_tokens=32"])}, ("backoff", "bucketed", "sgd")),
    ):
        loaded = container.read(path)
        judged = terms_from(loaded, overrides=overrides)
        assert judged.beside == evaluation_from(loaded, overrides=overrides).beside == expected
        assert judged.method.name == "sliding"


def test_a_header_without_what_is_needed_is_refused_with_all_that_it_lacks(tmp_path):
    loaded = container.read(write_artifact(tmp_path / "a.pgolf"))
    lacking = {key: value for key, value in loaded.header.items() if key not in ("eval", "mixer")}
    with pytest.raises(ArtifactError, match=r"the header has no eval, mixer$"):
        evaluation_from(dataclasses.replace(loaded, header=lacking))


@pytest.mark.parametrize("other", [{"chunk_tokens": 512}, {"batch_windows": None}])
def test_settings_that_another_version_wrote_are_refused_by_name(tmp_path, other):
    own = eval_node() | other
    written = {key: value for key, value in own.items() if value is not None}
    loaded = container.read(write_artifact(tmp_path / "a.pgolf", eval=written))
    with pytest.raises(ArtifactError, match=rf"eval as another version of pgolf wrote it .*{next(iter(other))}"):
        evaluation_from(loaded)
    assert evaluation_from(loaded, overrides={"eval": eval_node()}).method.window == 32


def test_so_are_settings_within_settings(tmp_path):
    loaded = container.read(write_artifact(tmp_path / "a.pgolf"))
    arch = copy.deepcopy(dict(loaded.header["arch"]))
    del arch["attention"]["rope_limit"]
    with pytest.raises(ArtifactError, match=r"arch as another version of pgolf wrote it .*'rope_limit'.*`pgolf verify"):
        evaluation_from(dataclasses.replace(loaded, header=loaded.header | {"arch": arch}))


def test_headers_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(ArtifactError, match="route 'recurrent' in the header; the model has plain"):
        evaluation_from(container.read(write_artifact(tmp_path / "a.pgolf", route="recurrent")))
    with pytest.raises(ArtifactError, match="its tokenizer has 260"):
        evaluation_from(container.read(write_artifact(tmp_path / "b.pgolf", bos_id=2)))
    with pytest.raises(ArtifactError, match="metric table"):
        evaluation_from(container.read(write_artifact(tmp_path / "c.pgolf", metric="table")))
    with pytest.raises(ConfigError, match=r"eval\.stride"):
        evaluation_from(container.read(write_artifact(tmp_path / "d.pgolf", eval=eval_node(stride=999))))
