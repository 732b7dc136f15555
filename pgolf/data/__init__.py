"""Corpora, their splits, and the token shards made of them."""
