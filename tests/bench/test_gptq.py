"""The benchmark runs, prints both times, and its plain loop is GPTQ."""

import re

import pytest

from pgolf.bench import gptq as bench
from pgolf.cli.main import main
from tests.helpers import tiny_model
from tests.quant.nodes import by_name, quantizer

SMALL = ["--layers", "2", "--width", "32", "--hidden", "48", "--kv-width", "16", "--threads", "1"]


@pytest.mark.parametrize("option", ["gptq", "sdclip_gptq"])
def test_it_prints_seconds_and_the_ratio_to_the_plain_loop(option, capsys):
    assert main(["bench", "gptq", "--quant", option, *SMALL]) == 0
    shown = capsys.readouterr().out
    weights = 2 * (2 * 32 * 32 + 2 * 16 * 32 + 2 * 48 * 32)
    assert f"{option}: 12 matrices, {weights:,} weights, 1 threads" in shown
    assert re.search(r"plain column loop [\d.]+ s, [\d.]+ times as long", shown)


@pytest.mark.parametrize("option", ["pr1204", "mixed_gptq"])
def test_a_policy_that_asks_for_layers_is_timed_too_whole_and_on_one_layer(option, capsys):
    words = [*SMALL, "--layers", "4"]
    assert main(["bench", "gptq", "--quant", option, *words]) == 0
    assert re.search(rf"{option}: 24 matrices.*\none layer: [\d.]+ s; plain column loop", capsys.readouterr().out)


def test_the_matrices_are_named_placed_and_called_as_a_models_are():
    _, specs, _ = bench._model(2, 32, 48, 16)
    model = tiny_model("arch.layers=2").param_specs()
    assert specs and all(model[name] == spec for name, spec in specs.items())


def test_an_option_that_is_no_gptq_is_refused(capsys):
    assert main(["bench", "gptq", "--quant", "int6_rtn", *SMALL]) == 2
    assert "int6_rtn is a RTN, not a GPTQ" in capsys.readouterr().err


def test_an_unknown_option_is_answered_with_the_nearest(capsys):
    assert main(["bench", "gptq", "--quant", "int6_gptk", *SMALL]) == 2
    assert "Did you mean 'int6_gptq'" in capsys.readouterr().err


def test_the_plain_loop_gives_the_same_codes_but_for_ties():
    state, specs, calibration = bench._model(1, 32, 48, 16)
    chosen = quantizer("sdclip_gptq")
    ours = by_name(chosen.quantize(state, specs, None, calibration))
    plain = bench.plain_codes(chosen, state, specs, calibration)
    for name, tensor in ours.items():
        (codes,) = plain[name]
        assert (codes.numpy() != tensor.arrays["q"]).mean() < 0.01
