"""The coder that makes a stream up: a prompt, then tokens drawn by chance from their rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import replace

import numpy as np

from pgolf.core.prediction import Span
from pgolf.core.protocols import Progress, Tokenizer
from pgolf.eval.coder import NOTHING, Coder, Counted, Predicted
from pgolf.eval.evaluation import Evaluation


class Sampler:
    """Draws p^(1/temperature), normalised; at temperature 0 the likeliest token. One lane at a time; ``prompt_n``: the
    first one's targets that stand; ``told`` hears of each token that is drawn."""

    def __init__(
        self, prompt_n: np.ndarray, temperature: float, seed: int, told: Callable[[int], None] = lambda _: None
    ) -> None:
        """Raises ValueError for a temperature below 0."""
        if not temperature >= 0:
            raise ValueError(f"temperature: {temperature:g} is below 0")
        self._prompt_n, self._temperature = np.asarray(prompt_n, dtype=np.int64), temperature
        self._told, self._random = told, np.random.default_rng(seed)

    def known(self, block: Span) -> np.ndarray:
        return self._prompt_n[block.start : block.stop] if block.lane == 0 else NOTHING

    def wants(self, block: Span) -> bool:
        return False

    def settle(self, place_I: np.ndarray, rows: Predicted, token_I: np.ndarray) -> None:
        """The prompt has no price."""

    def draw(self, place: int, row_V: np.ndarray) -> int:
        token = self._chosen(row_V)
        self._told(token)
        return token

    def _chosen(self, row_V: np.ndarray) -> int:
        if self._temperature == 0:
            return int(row_V.argmax())
        with np.errstate(divide="ignore"):  # p = 0 stays 0
            log_V = np.log(row_V.astype(np.float64)) / self._temperature
        p_V = np.exp(log_V - log_V.max())
        return int(self._random.choice(len(p_V), p=p_V / p_V.sum()))


class Voice:
    """The text of tokens as they come, passed on to ``write`` as far as no later token can change it.

    A character may be spelt in several tokens: until it is whole, the text ends in replacement characters. Where a
    document ends, a blank line follows.
    """

    def __init__(self, tokenizer: Tokenizer, write: Callable[[str], None]) -> None:
        self._tokenizer, self._write = tokenizer, write
        self._ended = ""  # all documents before this one
        self._ids: list[int] = []
        self._written = 0

    @property
    def text(self) -> str:
        return self._ended + self._tokenizer.decode(self._ids)

    def hear(self, ids: Iterable[int]) -> None:
        for token in ids:
            if token == self._tokenizer.bos_id:
                self._ended, self._ids = self.text + "\n\n", []
            else:
                self._ids.append(int(token))
        self._pass_on(self.text.rstrip("\ufffd"))

    def close(self) -> None:
        """Pass on what has not become whole."""
        self._pass_on(self.text)

    def _pass_on(self, text: str) -> None:
        if len(text) > self._written:
            self._write(text[self._written :])
            self._written = len(text)


def sample_text(
    evaluation: Evaluation,
    prompt: str,
    tokens: int,
    temperature: float,
    seed: int,
    progress: Progress | None = None,
    write: Callable[[str], None] = lambda _: None,
) -> str:
    """``prompt`` and so many tokens after it; where a document ends, a blank line and the next one.

    ``write`` gets the same text, piece by piece as it comes. Always in one lane: nothing is known yet that could be cut
    into several. Raises DataError for a prompt without a UTF-8 form.
    """
    method = copy(evaluation.method)
    method.lanes = 1
    tokenizer = evaluation.tokenizer
    prompt_n = tokenizer.encode(prompt)
    evaluator = replace(evaluation, method=method).evaluator(1 + len(prompt_n) + tokens)
    voice = Voice(tokenizer, write)
    voice.hear(prompt_n.tolist())
    coder: Coder = Sampler(prompt_n, temperature, seed, lambda token: voice.hear([token]))
    if progress is not None:
        coder = Counted(coder, lambda drawn: progress("sample", drawn, tokens))
    evaluator.run(coder, [tokenizer.bos_id] if isinstance(evaluator.plan.lane_starts, Sequence) else [])
    voice.close()
    return voice.text
