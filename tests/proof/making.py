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
from pgolf.eval.network import FixedNetwork
from pgolf.eval.remote import Line, RemoteAuditor
from pgolf.eval.scorer import Scorer
from pgolf.eval.sealed import SealedRun, SealedScore
from pgolf.eval.sliding import Sliding
from pgolf.proof.audit import Audit, Judge, draw, draw_stretch
from pgolf.proof.context import Context
from pgolf.proof.decoding import Decoding, DecodingJudge
from pgolf.proof.range_coder import RangeReader
from pgolf.quant.none import NoQuantizer
from pgolf.tokenizer.bytes import ByteTokenizer
from pgolf.tokenizer.recipe import stream_of_texts

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


def eval_node(window=32, stride=8, batch_windows=4):
    return {
        "_target_": "pgolf.eval.sliding.Sliding",
        "window": window,
        "stride": stride,
        "batch_windows": batch_windows,
        "lanes": 1,
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


def network_evaluation(network=None, **changes):
    """The noisy model (or another network) over bytes, in short windows."""
    tokenizer = ByteTokenizer()
    method = Sliding(**{k: v for k, v in eval_node().items() if k != "_target_"})
    network = network or FixedNetwork(noisy_model(arch_node(), tokenizer.vocab_size, tokenizer.bos_id))
    return dataclasses.replace(Evaluation(network, tokenizer, method, "raw"), **changes)


def stream_of(evaluation, documents=DOCUMENTS):
    return stream_of_texts(evaluation.tokenizer, documents)


class Noting(Scorer):
    """A scorer that writes down in which order it was given places."""

    def __init__(self, *stream):
        super().__init__(*stream)
        self.noted = []

    def settle(self, place_I, rows, token_I):
        super().settle(place_I, rows, token_I)
        self.noted.append(self.in_stream(place_I))


def pretend_sealed(evaluation, tokens_N, **changes):
    """A SealedScore as the sealed process would answer, computed here to save its start."""
    evaluator = evaluation.evaluator(len(tokens_N))
    scorer = Noting(tokens_N, evaluator.plan.lane_starts)
    evaluator.run(scorer, scorer.first_tokens)
    facts = {
        "learns": evaluator.learns,
        "working_directory_entries": 0,
        "artifact_sha256": "abc",
        "isolation": "none",
        "code": "this process",
    }
    plan, scores, sums = evaluator.plan, scorer.nll_nats.values_N, scorer.sums.values_N
    order = np.concatenate(scorer.noted)
    sealed = SealedScore(scores, sums, plan.lane_starts, plan.side_bits, 1.0, (), 0, facts, order)
    return dataclasses.replace(sealed, **changes)


def pretend_audit(evaluation, tokens_N, sealed, places=600, seed=0, violations=(), stretch_tokens=0):
    """An Audit as the audited process would answer, computed here."""
    drawn, uniform_n = draw(sealed.nll_nats_N, places, seed)
    stretch = draw_stretch(len(sealed.nll_nats_N), stretch_tokens, seed)
    told = {"stretch": stretch, "place_I": sealed.place_I}
    judge = Judge(tokens_N, sealed.nll_nats_N, drawn, evaluation.tokenizer.vocab_size, **told)
    return judge.audit(seed, uniform_n, pretend_run(evaluation, tokens_N, judge, violations))


def pretend_decoding(evaluation, tokens_N, audit, violations=(), place_I=None):
    """A Decoding as the decoding process would answer, computed here."""
    reader, vocab_size = RangeReader(audit.coded), evaluation.tokenizer.vocab_size
    judge = DecodingJudge(tokens_N, audit.stretch, reader, vocab_size, place_I=place_I)
    run = pretend_run(evaluation, tokens_N, judge, violations)
    return Decoding(audit.stretch, len(audit.coded), judge.decoded, run)


def pretend_run(evaluation, tokens_N, judge, violations=()):
    evaluator = evaluation.evaluator(len(tokens_N))
    coder = RemoteAuditor(Here(judge))
    evaluator.run(coder, coder._line.open(evaluator.plan.lane_starts, evaluator.plan.side_bits))
    facts = {
        "learns": evaluator.learns,
        "working_directory_entries": 0,
        "artifact_sha256": "abc",
        "isolation": "none",
        "code": "this process",
    }
    return SealedRun({}, facts, tuple(violations), 1.0)


class Here(Line):
    """The two pipes without the pipes."""

    def __init__(self, answering):
        self._answering = answering

    def say(self, message, payload=b""):
        self._told = self._answering.answer(message, payload)

    def _hear(self):
        return self._told.astype(np.int64)


def context_of(
    evaluation, documents=DOCUMENTS, sealed=None, reported=None, tokens_N=None, audit=None, cut=None, dev=None, **how
):
    """The probes' context for ``documents``, without a sealed process; ``how``: as for ``pretend_audit``."""
    if tokens_N is None:
        tokens_N = stream_of(evaluation, documents)[:cut]
    sealed = sealed or pretend_sealed(evaluation, tokens_N)
    reported = reported or make_score(
        evaluation,
        tokens_N,
        np.nan_to_num(sealed.nll_nats_N),
        np.nan_to_num(sealed.sum_p_N, nan=1.0),
        split="val",
        subset=True,
        seconds=1.0,
        valid=False,
        side_bits=sealed.side_bits,
    )
    audit = audit or pretend_audit(evaluation, tokens_N, sealed, **how)
    decodes = isinstance(audit, Audit) and audit.complete and audit.largest < 1e-4
    decoding = pretend_decoding(evaluation, tokens_N, audit, place_I=sealed.place_I) if decodes else None
    return Context(evaluation, tokens_N, sealed, reported, audit, decoding, documents, "abc", dev=dev)
