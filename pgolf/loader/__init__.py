"""Training batches from shards, in a repeatable order."""
