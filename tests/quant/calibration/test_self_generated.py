"""The model's own text: drawn from its own predictions, from a fixed seed, without reading any text."""

import pytest
import torch
import yaml
from torch import nn

from pgolf.config.options import conf_dir
from pgolf.core.errors import ConfigError
from pgolf.quant.calibration.self_generated import SelfGenerated
from tests.helpers import VOCAB, randomise, tiny_model


def source(**changes):
    numbers = {"sequences": 5, "tokens": 10, "batch": 2, "temperature": 0.8, "seed": 0}
    return SelfGenerated(**(numbers | changes))


def ready(*words):
    model = tiny_model(*words)
    randomise(model, std=0.3)
    return model.eval().requires_grad_(False)


def refuse():
    raise AssertionError("self-generation reads no text")


def write(model, **changes):
    return source(**changes).write(model, 4, torch.Generator().manual_seed(0))


def test_it_reads_no_text_and_takes_no_training_time():
    assert SelfGenerated.reserve_seconds == 0
    found = source().collect(ready(), refuse)
    assert found.source == "self_generated" and found.tokens == 5 * 10


def test_a_seed_fixes_every_bit_and_another_seed_none():
    first, second, other = (source(seed=s).collect(ready(), refuse).hessians["embedding"] for s in (0, 0, 1))
    assert torch.equal(first, second)
    assert not torch.allclose(first, other)


@pytest.mark.parametrize("arch", ["baseline", "pr1204", "pr1855", "mamba_hybrid"])
def test_without_temperature_every_word_is_the_likeliest_after_all_before_it(arch):
    model = ready(f"arch={arch}")
    written_BT = write(model, temperature=1e-4, tokens=8)
    assert written_BT.shape == (4, 8) and len(set(written_BT[:, 0].tolist())) > 1
    for t in range(1, 8):
        assert torch.equal(written_BT[:, t], model.logits(written_BT[:, :t])[:, -1].argmax(-1))


def test_words_are_drawn_with_the_probabilities_of_the_model():
    model = ready()
    many = source(tokens=2, temperature=1.0).write(model, 20_000, torch.Generator().manual_seed(1))
    first = many[:, 0].bincount(minlength=VOCAB) / len(many)
    assert (first - 1 / VOCAB).abs().max() < 0.004
    word = int(many[0, 0])
    expected = model.logits(torch.tensor([[word]]))[0, -1].softmax(-1)
    drawn = many[many[:, 0] == word, 1].bincount(minlength=VOCAB) / (many[:, 0] == word).sum()
    likeliest = int(expected.argmax())
    assert drawn[likeliest] == pytest.approx(float(expected[likeliest]), abs=0.12)


def test_a_model_that_cannot_be_fed_word_by_word_is_refused_before_training():
    words = ("arch/mlp=polyglu_routed", "arch.mlp.routing=sequence_mean")
    with torch.device("meta"):
        model = tiny_model(*words)
    with pytest.raises(ConfigError, match=r"quant/calibration: self_generated .*later positions.*train"):
        source().check(model)
    model = tiny_model()
    model.layers[0].mlp.mixer = nn.LSTM(3, 3)
    with pytest.raises(ConfigError, match="LSTM"):
        source().check(model)


def test_at_record_size_the_numbers_are_the_published_ones():
    given = yaml.safe_load((conf_dir() / "quant/calibration/self_generated.yaml").read_text())
    size = yaml.safe_load((conf_dir() / "size/record.yaml").read_text())
    assert (given["sequences"], given["batch"], given["temperature"]) == (64, 8, 0.8)
    assert given["tokens"] == "${size.eval_window}" and size["eval_window"] == 2048
