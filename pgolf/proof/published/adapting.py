"""The adaptation of the forms that train on the text being scored, at the published cadence. Not a form itself."""

from __future__ import annotations

from pgolf.eval.evaluation import Evaluation
from pgolf.ttt.sgd import SGD

WINDOWS = 2  # a chunk; published 16 (spec ttt §1), which a text of a few windows does not have


def adapting(evaluation: Evaluation, epochs: int) -> SGD:
    """SGD on all weights, in the windows of ``evaluation``; published numbers but for the chunk and the epochs."""
    window = evaluation.method.window
    return SGD(
        chunk_tokens=WINDOWS * window,
        window=window,
        epochs=epochs,
        trains=["all"],
        untie=False,
        restart=False,
        byte_weighted=False,
        lr=0.005,
        final_lr=0.0,
        rise=1.0,
        rise_share=1.0,
        momentum=0.9,
        clip=1.0,
        pull=0.0,
        average=None,
        keep=0.0,
        unadapted_expert=False,
        temperature=1.0,
        temperature_per_token=False,
    )
