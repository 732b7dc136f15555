"""Files from elsewhere that name what is ours and no part of an evaluation: nothing runs where they are judged."""

import hashlib
import json

import pytest

from pgolf.artifact import container
from pgolf.cli.main import main
from pgolf.config.compose import compose, settings, to_yaml
from pgolf.core.errors import ArtifactError, ConfigError
from pgolf.eval.from_artifact import evaluation_from
from pgolf.proof.codec import PRINT_BYTES, decompress
from pgolf.proof.coded_file import CodedFile
from pgolf.run.verify import verify
from tests.proof.making import write_artifact


@pytest.fixture
def program(tmp_path):
    """A node that would write a file, and the file."""
    mark = tmp_path / "ran"
    order = {"script": None, "program": f"open({str(mark)!r}, 'w').close()"}
    return {"_target_": "pgolf.eval.sealed_child._run", "order": order, "names": {}}, mark


@pytest.fixture
def artifact(tmp_path):
    return write_artifact(tmp_path / "artifact.pgolf")


@pytest.mark.parametrize("key", ["eval", "ttt", "ngram", "mixer"])
def test_a_compressed_text_runs_no_program(artifact, program, key):
    node, mark = program
    print_ = hashlib.sha256(artifact.read_bytes()).digest()[:PRINT_BYTES]
    file = CodedFile(
        artifact_print=print_,
        row_print=bytes(PRINT_BYTES),
        form="coded",
        length=10,
        checksum=0,
        body=b"",
        tokens=5,
        first_tokens=(1,),
        overrides={key: node},
    )
    with pytest.raises(ConfigError, match="is no option"):
        decompress(artifact, file.to_bytes())
    assert not mark.exists()


@pytest.mark.parametrize("key", ["arch", "eval", "ttt", "ngram", "mixer"])
def test_an_artifacts_header_runs_no_program(artifact, program, key):
    node, mark = program
    loaded = container.read(artifact)
    loaded.header[key] = node
    with pytest.raises(ConfigError, match="is no option"):
        evaluation_from(loaded)
    assert not mark.exists()


@pytest.mark.parametrize("place", ["ttt", "ttt.of", "mixer.of.of"])
def test_an_option_of_another_group_is_no_part_of_an_evaluation(artifact, place):
    loaded = container.read(artifact)
    inner, (*outer, last) = loaded.header, place.split(".")
    for name in outer:
        inner[name] = dict(inner.get(name, {}))
        inner = inner[name]
    inner[last] = {"_target_": "pgolf.logger.wandb.Wandb", "project": "mine"}
    with pytest.raises(ArtifactError, match=f"{place} names 'pgolf.logger.wandb.Wandb', an option of none of arch"):
        evaluation_from(loaded)


def test_a_folders_config_runs_no_program_where_it_is_verified(artifact, program, capsys):
    node, mark = program
    folder = artifact.parent
    cfg = settings(compose(["size=tiny", "budget=smoke", "data=tiny", "tokenizer=bytes"]))
    scores, weighed = {"final": {"valid": True}}, {"bytes_total": 1}
    claim = {"schema_version": 1, "status": "finished", "scores": scores, "artifact": weighed}
    for group in ("eval", "ngram", "hook", "data"):
        (folder / "config.yaml").write_text(to_yaml(cfg | {group: {"x": node} if group == "hook" else node}))
        (folder / "result.json").write_text(json.dumps(claim))
        (folder / "train_gpt.py").write_text("")
        with pytest.raises(Exception):  # noqa: B017 - which does not matter: the claim is half a claim
            verify(folder)
        assert main(["requantize", str(folder), "quant=int6_rtn"]) == 2
        capsys.readouterr()
        assert not mark.exists(), group
