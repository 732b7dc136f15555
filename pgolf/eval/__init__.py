"""From weights and a token stream to a score: windows, evaluator, metric and the sealed process."""
