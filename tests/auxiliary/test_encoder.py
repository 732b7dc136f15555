"""The encoder's loss is the head's on the normed encoder output, in training alone, beside qat too."""

import pytest
import torch

from pgolf.arch.base import rms_norm
from pgolf.qat.ste import STE
from tests.auxiliary.terms import attached, without_terms
from tests.helpers import ids, randomise, tiny_model
from tests.qat.qats import prepared

WORDS = {
    "plain": (),
    "encoder": ("arch/recurrence=encoder",),
    "segments": ("arch/recurrence=segment_loop", "arch.recurrence.starts=[0.5]"),
    "lanes": ("arch/lanes=p1",),
    "hybrid": ("arch=mamba_hybrid",),
}


def encoder_output(model, x):
    """What the last encoder visit leaves, by listening to the visits."""
    left = []
    honest = model.recurrence.after_visit

    def listen(visit, stream, context, trunk):
        stream = honest(visit, stream, context, trunk)
        if visit.half == "encoder":
            left.append(stream[0])
        return stream

    model.recurrence.after_visit = listen
    model.hidden(x)
    del model.recurrence.after_visit
    return left[-1]


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_the_term_is_the_heads_loss_on_the_normed_encoder_output(words):
    model, _ = attached("encoder", model=tiny_model(*words))
    randomise(model)
    x, y = ids(), ids(seed=1)
    for name in model.routes:
        model.use(name)
        with torch.no_grad():
            extra = model.word_loss(rms_norm(encoder_output(model, x)), y)
            torch.testing.assert_close(model.loss(x, y), without_terms(model, x, y) + 0.1 * extra)


def test_in_evaluation_there_is_no_term():
    model, _ = attached("encoder")
    randomise(model)
    x, y = ids(), ids(seed=1)
    assert not torch.equal(model.loss(x, y), without_terms(model, x, y))
    model.eval()
    assert torch.equal(model.loss(x, y), without_terms(model, x, y))


def test_it_reaches_the_encoder_and_not_the_decoder():
    model, _ = attached("encoder")
    randomise(model)
    x, y = ids(), ids(seed=1)
    (model.loss(x, y) - without_terms(model, x, y)).backward()
    with_term = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    model.terms = ()
    model.loss(x, y).backward()
    for name, p in model.named_parameters():
        layer = name.split(".")[1] if name.startswith("layers.") else ""
        if layer:
            assert torch.equal(p.grad, with_term[name]) == (int(layer) >= 3), name


def test_it_is_made_from_the_weights_the_artifact_would_hold_once_those_are_used():
    model, _ = attached("encoder")
    randomise(model)
    loss = prepared(STE(start=0.0, start_lr_scale=None), model=model).loss
    x, y = ids(), ids(seed=1)
    loss.turn_on()
    twin = tiny_model()
    state = {**model.state_dict(), **{name: value.detach() for name, value in loss.stand_ins().items()}}
    twin.load_state_dict(state)
    attached("encoder", model=twin)
    assert torch.equal(loss(x, y), twin.loss(x, y)) and not torch.equal(loss(x, y), model.loss(x, y))
