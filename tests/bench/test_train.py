"""The benchmark of training has a line for each way to train, and its flops are those of the model's shapes."""

import json
import re

import pytest
import torch

from pgolf.arch.attention.layer import Attention
from pgolf.cli.main import main
from pgolf.core.peaks import matmul_peak
from pgolf.train.flops import training_flops
from tests.helpers import tiny_model

WINDOW = 32
ONE = ("--threads", "1", "1")  # two of them wait for each other for seconds on a busy machine


def test_every_way_has_a_line_whose_laps_are_the_step(capsys):
    before = torch.get_num_threads()
    assert main(["bench", "train", "size=tiny", "train.batch_tokens=128", "--eager", "--rounds", "1", *ONE]) == 0
    assert torch.get_num_threads() == before
    *shown, last = capsys.readouterr().out.splitlines()
    lines = [line for line in shown if re.match(r" +1 eager ", line)]
    assert len(lines) == 1 and "quickest here: eager" in shown[-1]
    found = json.loads(last)
    assert found["tokens"] == 128 and [row["threads"] for row in found["rows"]] == [1]
    for row in found["rows"]:
        laps = ("data", "forward", "backward", "clip", "optimizer", "hooks", "rest")
        assert sum(row[f"{lap}_seconds"] for lap in laps) == pytest.approx(row["step_seconds"], rel=0.2)
        assert row["fp32_share"] == pytest.approx(row["flops_per_second"] / row["fp32_peak"])
        assert all(row[f"{part}_seconds"] > 0 for part in ("attention", "attention backward", "head"))


def test_words_that_do_not_compose_are_refused(capsys):
    assert main(["bench", "train", "size=tyny"]) == 2
    assert "Did you mean 'tiny'?" in capsys.readouterr().err


@pytest.mark.parametrize("words", [(), ("arch.tie_embeddings=false",), ("arch/attention=blocked",)])
def test_flops_are_those_of_the_matrices_the_causal_pairs_and_the_head(words):
    model = tiny_model(*words)
    matrices = sum(p.numel() for name, p in model.named_parameters() if model.param_specs()[name].group == "matrix")
    attends = [module for module in model.modules() if isinstance(module, Attention)]
    pairs = sum(layer.heads * layer.head_width for layer in attends) * (WINDOW + 1) / 2
    found = training_flops(model, WINDOW)
    assert found.head == 6 * model.output_table.numel()
    assert found.attention == pytest.approx(12 * pairs)
    assert found.total == pytest.approx(6 * matrices + found.attention + found.head)


def test_counting_changes_neither_the_model_nor_random_numbers():
    model = tiny_model("arch/mlp=polyglu_routed")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    training_flops(model, WINDOW)
    matmul_peak(torch.device("cpu"), torch.float32, seconds=0.0)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any("mix" in module.__dict__ for module in model.modules())


def test_a_visit_more_is_counted_and_a_route_that_is_not_active_is_not():
    plain, twice = tiny_model(), tiny_model("arch/recurrence=shared")
    first, last = twice.active, list(twice.routes)[-1]
    at_start = training_flops(twice, WINDOW).total
    twice.use(last)
    assert training_flops(twice, WINDOW).total > training_flops(plain, WINDOW).total
    if first != last:
        assert at_start == training_flops(plain, WINDOW).total
