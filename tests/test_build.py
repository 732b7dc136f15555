"""Compiling: what the compiler is told, and what is said and done where it gives up."""

import pytest
import torch
from torch._inductor.exc import InductorError

from pgolf.build import compile_loss, compiler_options
from pgolf.core.errors import ConfigError
from pgolf.qat.base import Loss
from tests.train.rig import rig

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")  # torch's own


def gives_up(compiled):
    """A compiler whose product ends in an assertion without a word, as torch's scheduler can."""

    def sub_node_can_fuse(*_):
        try:
            raise AssertionError
        except AssertionError as error:
            raise InductorError(error, None).with_traceback(error.__traceback__) from None

    return sub_node_can_fuse


def trainer_that_cannot_compile(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda part, **_: gives_up(part))
    trainer = rig(steps=2)
    trainer.loss = Loss(trainer.model.loss)
    return trainer


def test_a_compiler_that_gives_up_without_a_word_is_quoted_with_the_place(monkeypatch):
    with pytest.raises(
        ConfigError, match=r"always was asked for.*AssertionError in sub_node_can_fuse, line \d+ of .*py"
    ):
        compile_loss(trainer_that_cannot_compile(monkeypatch), "always", 60)


def test_otherwise_training_goes_on_eagerly_and_the_reason_is_told(monkeypatch):
    trainer = trainer_that_cannot_compile(monkeypatch)
    assert "AssertionError in sub_node_can_fuse" in compile_loss(trainer, "auto", 60)
    assert trainer.step == 0 and trainer.forward_backward() == pytest.approx(rig(steps=2).forward_backward())


def test_a_cpu_is_compiled_for_as_by_default_and_a_gpu_without_what_ends_in_an_assertion():
    assert compiler_options(torch.device("cpu")) is None
    options = compiler_options(torch.device("cuda", 0))
    assert options == {"triton.mix_order_reduction": False}
    torch.compile(lambda x: x, options=options)  # a name that Inductor does not know is refused here
    with pytest.raises(RuntimeError, match="triton"):
        torch.compile(lambda x: x, options={"triton.mixed_order": False})
