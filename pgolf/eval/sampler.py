"""The coder that makes a stream up: a prompt, then tokens drawn by chance from their rows."""

from __future__ import annotations

from copy import copy
from dataclasses import replace

import numpy as np

from pgolf.core.prediction import Span
from pgolf.core.protocols import Progress
from pgolf.eval.coder import Coder, Counted, Predicted
from pgolf.eval.evaluation import Evaluation


class Sampler:
    """Draws p^(1/temperature), normalised; at temperature 0 the likeliest token. One lane; ``prompt_n``: the targets
    that stand."""

    def __init__(self, prompt_n: np.ndarray, temperature: float, seed: int) -> None:
        """Raises ValueError for a temperature below 0."""
        if not temperature >= 0:
            raise ValueError(f"temperature: {temperature:g} is below 0")
        self._prompt_n, self._temperature = np.asarray(prompt_n, dtype=np.int64), temperature
        self._random = np.random.default_rng(seed)

    def known(self, block: Span) -> np.ndarray:
        return self._prompt_n[block.start : block.stop]

    def wants(self, block: Span) -> bool:
        return False

    def settle(self, place_I: np.ndarray, rows: Predicted, token_I: np.ndarray) -> None:
        """The prompt has no price."""

    def draw(self, place: int, row_V: np.ndarray) -> int:
        if self._temperature == 0:
            return int(row_V.argmax())
        with np.errstate(divide="ignore"):  # p = 0 stays 0
            log_V = np.log(row_V.astype(np.float64)) / self._temperature
        p_V = np.exp(log_V - log_V.max())
        return int(self._random.choice(len(p_V), p=p_V / p_V.sum()))


def sample_text(
    evaluation: Evaluation,
    prompt: str,
    tokens: int,
    temperature: float,
    seed: int,
    progress: Progress | None = None,
) -> str:
    """``prompt`` and so many tokens after it; where a document ends, a blank line and the next one.

    Always in one lane: nothing is known yet that could be cut into several. Raises DataError for a prompt without a
    UTF-8 form.
    """
    method = copy(evaluation.method)
    method.lanes = 1
    tokenizer = evaluation.tokenizer
    prompt_n = tokenizer.encode(prompt)
    evaluator = replace(evaluation, method=method).evaluator(1 + len(prompt_n) + tokens)
    coder: Coder = Sampler(prompt_n, temperature, seed)
    if progress is not None:
        coder = Counted(coder, lambda drawn: progress("sample", drawn, tokens))
    tape = evaluator.run(coder, [tokenizer.bos_id])
    ids_n = tape.revealed(0)
    documents = np.split(ids_n, np.flatnonzero(ids_n == tokenizer.bos_id))
    return "\n\n".join(tokenizer.decode(ids_n) for ids_n in documents)
