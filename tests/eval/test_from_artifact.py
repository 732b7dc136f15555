import numpy as np
import pytest
import torch

from pgolf.artifact import container
from pgolf.core.errors import ArtifactError, ConfigError
from pgolf.eval.from_artifact import evaluation_from
from pgolf.tokenizer.bytes import ByteTokenizer
from tests.proof.making import arch_node, eval_node, noisy_model, write_artifact


def test_the_evaluation_is_the_packed_model(tmp_path):
    evaluation = evaluation_from(container.read(write_artifact(tmp_path / "a.pgolf")))
    model = noisy_model(arch_node(), 260, 1)
    inputs_BT = torch.randint(260, (2, 32))
    expected = model.logits(inputs_BT, 8).log_softmax(-1)
    torch.testing.assert_close(evaluation.network.log_probs(inputs_BT, 8), expected, rtol=0, atol=0)
    assert isinstance(evaluation.tokenizer, ByteTokenizer)
    assert (evaluation.method.window, evaluation.metric) == (32, "raw")
    assert len(evaluation.stream(np.array([1, 5, 6]))) == 3


def test_settings_can_be_overridden_but_not_the_model(tmp_path):
    loaded = container.read(write_artifact(tmp_path / "a.pgolf"))
    assert evaluation_from(loaded, overrides={"eval": eval_node(stride=16)}).method.stride == 16
    with pytest.raises(ConfigError, match="arch: fixed by the artifact"):
        evaluation_from(loaded, overrides={"arch": arch_node()})


def test_headers_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(ArtifactError, match="its tokenizer has 260"):
        evaluation_from(container.read(write_artifact(tmp_path / "b.pgolf", bos_id=2)))
    with pytest.raises(ArtifactError, match="metric table"):
        evaluation_from(container.read(write_artifact(tmp_path / "c.pgolf", metric="table")))
    with pytest.raises(ConfigError, match=r"eval\.stride"):
        evaluation_from(container.read(write_artifact(tmp_path / "d.pgolf", eval=eval_node(stride=5))))
