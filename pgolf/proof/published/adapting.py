"""The adaptation of the forms that train on the text being scored, at the published cadence. Not a form itself."""

from __future__ import annotations

from pgolf.eval.evaluation import Evaluation
from pgolf.ttt.sgd import SGD

WINDOWS = 2  # a chunk; published 16 (spec ttt §1), which a text of a few windows does not have


def adapting(evaluation: Evaluation, epochs: int) -> SGD:
    """SGD on all weights, in the windows of ``evaluation``; published numbers but for the chunk and the epochs."""
    window = evaluation.method.window
    return SGD(
        chunk_tokens=WINDOWS * window, window=window, epochs=epochs, lr=0.005, final_lr=0.0, momentum=0.9, clip=1.0
    )
