import numpy as np

from pgolf.eval.comparison import compare
from pgolf.eval.evaluation import score_stream
from tests.eval.stages import counts, mean
from tests.proof.making import network_evaluation, stream_of


def test_each_is_scored_as_it_would_be_alone():
    alone = network_evaluation()
    evaluations = [network_evaluation(ngram=counts(), mixer=mean()), alone]
    tokens_N = stream_of(alone)
    told = []
    found = compare(evaluations, tokens_N, split="dev", subset=False, progress=lambda *words: told.append(words))
    counted, plain = (score_stream(evaluation, tokens_N, split="dev", subset=False) for evaluation in evaluations)
    assert found[0].score.val_bpb == counted.val_bpb and found[0].score.sum_p_max == counted.sum_p_max
    assert np.isclose(found[1].score.val_bpb, plain.val_bpb, rtol=1e-6)  # whose rows are not made from logarithms here
    assert found[0].stage_seconds > 0 == found[1].stage_seconds
    assert told[-1] == ("dev", len(tokens_N) - 1, len(tokens_N) - 1)
