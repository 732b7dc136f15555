"""A model that trains on one batch of random tokens, again and again: what the benchmarks of whole steps share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


class Stepper:
    """The model that the words of a command line compose, with its optimizer; ``compiled``: its loss, as in a run.

    ``tokens`` are those of a step, in windows of ``window``. Made of what checkouts that are much older have too.
    """

    def __init__(self, words: Sequence[str], compiled: bool) -> None:
        import torch

        from pgolf.config.compose import compose, settings
        from pgolf.core.make import make
        from pgolf.core.process import choose_precision

        cfg = settings(compose(words))
        torch.manual_seed(0)
        given = cfg["tokenizer"].get("vocab_size")  # bytes have none
        vocab_size = make(cfg["tokenizer"]).vocab_size if given is None else given
        self.window, self.tokens = cfg["train"]["window"], cfg["train"]["batch_tokens"]
        self.model = make(cfg["arch"], vocab_size=vocab_size, bos_id=1)
        self.optimizer = make(cfg["optimizer"], model=self.model)
        self.loss: Callable[..., Tensor] = (
            torch.compile(self.model.loss, dynamic=False) if compiled else self.model.loss
        )
        self.dtype = choose_precision(cfg["train"]["precision"], torch.device("cpu"))
        self.ids_BT = torch.randint(2, vocab_size, (self.tokens // self.window, self.window + 1))
        self.loss_nats = float("nan")

    @property
    def precision(self) -> str:
        return "fp32" if self.dtype is None else str(self.dtype).removeprefix("torch.")

    def step(self) -> None:
        """Forward, backward, update."""
        import torch

        self.optimizer.zero_grad()
        with torch.autocast("cpu", self.dtype, enabled=self.dtype is not None):
            loss = self.loss(self.ids_BT[:, :-1], self.ids_BT[:, 1:])
        loss.backward()
        self.optimizer.step(1.0, 0.5)
        self.loss_nats = loss.item()
