"""What a model has learned: every scalar parameter by name, lanes as the routing table of #1204."""

import pytest
import torch

from pgolf.arch.learned import GROUPS, learned, learned_table
from pgolf.cli.main import main
from pgolf.config.compose import to_yaml
from pgolf.train.state import Weights, save_weights
from tests.helpers import tiny_model, tiny_settings


def rows_of(*words):
    model = tiny_model(*words)
    return model, learned(model, model.dims.width)


@pytest.mark.parametrize("lanes", ["p1", "p4"])
def test_lanes_are_a_table_by_layer_with_the_columns_of_1204(lanes):
    model, _ = rows_of(f"arch/lanes={lanes}")
    with torch.no_grad():
        model.lanes.attention_writes[1] = torch.tensor([2.0972, 0.8114])
        model.lanes.mlp_writes[1] = torch.tensor([0.0557, 1.7884])
    found = {row.label: row.value for row in learned(model, model.dims.width) if row.place == "lanes layer 5"}
    wanted = {"keep attn", "keep mlp", "attn→attn", "attn→mlp", "mlp→attn", "mlp→mlp"}
    assert found.keys() == wanted
    routing = [found[label] for label in ("attn→attn", "attn→mlp", "mlp→attn", "mlp→mlp")]
    assert routing == pytest.approx([2.0972, 0.8114, 0.0557, 1.7884])
    (line,) = [line for line in learned_table(learned(model, model.dims.width)) if line.startswith("lanes layer 5")]
    assert "attn→attn 2.0972" in line and "mlp→attn 0.0557" in line


@pytest.mark.parametrize(
    "words", [("arch/lanes=p2",), ("arch/lanes=p1", "arch.lanes.mlp_writes=own"), ("arch/lanes=p3",)]
)
def test_other_lanes_have_their_own_columns(words):
    _, rows = rows_of(*words)
    labels = {row.label for row in rows if row.place == "lanes layer 4"}
    assert ("attn→mlp" in labels) == (words[0] != "arch/lanes=p3")
    assert ("mlp→attn" in labels) == (words[0] == "arch/lanes=p2")


@pytest.mark.parametrize("words", [(), ("arch/addon=[skip_gate,gate_static,smear_gate]",), ("arch/recurrence=mini",)])
def test_every_scalar_parameter_is_there_once_and_a_vector_by_its_mean(words):
    model, rows = rows_of(*words)
    names = [row.name for row in rows]
    assert len(set(names)) == len(names)
    scalars = [name for name, spec in model.param_specs().items() if spec.group in GROUPS]
    for name in scalars:
        place, _, own = name.rpartition(".")
        assert any(row.place == (place or "model") and row.label.startswith(own) for row in rows), name
    with torch.no_grad():
        model.controls["1_0"].mlp_scale.copy_(torch.arange(model.dims.width))
    found = {row.name: row.value for row in learned(model, model.dims.width)}
    assert found["controls.1_0/mlp_scale"] == pytest.approx((model.dims.width - 1) / 2)


def test_the_command_prints_a_runs_table_and_refuses_what_is_no_run(tmp_path, capsys):
    assert main(["learned", str(tmp_path)]) != 0
    assert "weights.pt: the run's weights cannot be read" in capsys.readouterr().err
    words = ("tokenizer=bytes", "arch/lanes=p4")
    cfg = tiny_settings(*words)
    (tmp_path / "config.yaml").write_text(to_yaml(cfg))
    save_weights(tmp_path / "weights.pt", Weights(tiny_model().state_dict(), "all", 1))
    assert main(["learned", str(tmp_path)]) != 0
    assert "not the weights of the model in config.yaml" in capsys.readouterr().err
    from pgolf.core.make import make
    from pgolf.tokenizer.recipe import BOS_ID, vocab_size

    model = make(cfg["arch"], vocab_size=vocab_size(cfg["tokenizer"]), bos_id=BOS_ID)
    save_weights(tmp_path / "weights.pt", Weights(model.state_dict(), "all", 1))
    assert main(["learned", str(tmp_path), "--only", "lanes"]) == 0
    assert "attn→attn 1.0000" in capsys.readouterr().out
    assert main(["learned", str(tmp_path), "--only", "nothing"]) != 0
    assert "nothing that this run has learned is called 'nothing'" in capsys.readouterr().err
