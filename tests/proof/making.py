"""A small artifact with noisy weights, for tests of evaluation and proof."""

import dataclasses
import functools
from pathlib import Path

import numpy as np
import torch

from pgolf.artifact import container
from pgolf.compressor.zlib import Zlib
from pgolf.config.compose import node
from pgolf.core.make import make
from pgolf.eval.evaluation import Evaluation, make_score
from pgolf.eval.evaluator import chunks_of
from pgolf.eval.network import NetworkExpert
from pgolf.eval.sealed import SealedScore
from pgolf.eval.sliding import Sliding
from pgolf.proof.context import Context
from pgolf.proof.replay import Replay
from pgolf.quant.none import NoQuantizer
from pgolf.tokenizer.bytes import ByteTokenizer

DOCUMENTS = [
    "The people of the island keep their boats on the sand. " * 4,
    "Ein Text mit Umlauten: über, größer, schön — und ein Gedankenstrich. " * 3,
    "one two three four five six seven eight nine ten " * 5,
]


@functools.cache
def arch_node(layers=2, width=32, heads=2, mlp_hidden=64):
    """The baseline's node as it is composed, at a size of our own."""
    words = {"layers": layers, "width": width, "heads": heads, "kv_heads": 1, "mlp_hidden": mlp_hidden}
    return node("arch", "baseline", [f"arch.{key}={value}" for key, value in words.items()])


def eval_node(window=32, stride=8, chunk_tokens=128, batch_windows=4):
    return {
        "_target_": "pgolf.eval.sliding.Sliding",
        "window": window,
        "stride": stride,
        "chunk_tokens": chunk_tokens,
        "batch_windows": batch_windows,
        "official_truncation": False,
    }


def header(tokenizer, **changes):
    return {
        "arch": arch_node(),
        "route": "plain",
        "vocab_size": tokenizer.vocab_size,
        "bos_id": tokenizer.bos_id,
        "eval": eval_node(),
        "ttt": {"_target_": "pgolf.ttt.none.NoAdaptation"},
        "ngram": {"_target_": "pgolf.ngram.none.NoNGram"},
        "mixer": {"_target_": "pgolf.mixer.none.Single"},
        "metric": "raw",
    } | changes


def noisy_model(arch, vocab_size, bos_id):
    """Every parameter away from its start, so that attention and embeddings matter."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model = make(arch, vocab_size=vocab_size, bos_id=bos_id)
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return model


def write_artifact(path: Path, tokenizer=None, **changes) -> Path:
    tokenizer = tokenizer or ByteTokenizer()
    head = header(tokenizer, **changes)
    model = noisy_model(head["arch"], tokenizer.vocab_size, tokenizer.bos_id)
    state = NoQuantizer().quantize(model.state_dict(), model.param_specs())
    container.write(path, container.encode(head, state, tokenizer.to_blob(), Zlib(level=1)))
    return path


def pretend_sealed(evaluation, tokens_N):
    """A SealedScore as the sealed process would answer, computed here to save its start."""
    evaluator = evaluation.evaluator(len(tokens_N))
    reveals = []
    for tokens_n in chunks_of(tokens_N, evaluation.method.chunk_tokens):
        evaluator.feed(tokens_n)
        reveals.append((evaluator.position + 1, evaluator.position))
    facts = {"working_directory_entries": 0, "artifact_sha256": "abc"}
    return SealedScore(evaluator.slots.nll_nats_N, 1.0, (), tuple(reveals), 0, facts)


def network_evaluation(network=None, **changes):
    """The noisy model (or another expert) over bytes, in short windows."""
    tokenizer = ByteTokenizer()
    method = Sliding(**{k: v for k, v in eval_node().items() if k != "_target_"})
    network = network or NetworkExpert(noisy_model(arch_node(), tokenizer.vocab_size, tokenizer.bos_id))
    return dataclasses.replace(Evaluation(network, tokenizer, method, "raw"), **changes)


def context_of(evaluation, documents=DOCUMENTS, sealed=None, reported=None, tokens_N=None, cut=None):
    """The probes' context for ``documents``, without a sealed process."""
    if tokens_N is None:
        bos = np.array([evaluation.tokenizer.bos_id], dtype=np.uint16)
        pieces = [piece for text in documents for piece in (bos, evaluation.tokenizer.encode(text))]
        tokens_N = np.concatenate(pieces).astype(np.uint16)[:cut]
    sealed = sealed or pretend_sealed(evaluation, tokens_N)
    reported = reported or make_score(
        evaluation,
        tokens_N,
        np.nan_to_num(sealed.nll_nats_N),
        split="val",
        subset=True,
        seconds=1.0,
        valid=False,
    )
    replay = Replay(evaluation, tokens_N, sealed.nll_nats_N, advance_seconds=5)
    return Context(evaluation, tokens_N, sealed, reported, documents, "abc", replay)
