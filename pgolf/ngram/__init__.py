"""Experts built from counts of tokens that have already been scored.

An option that does nothing says so by its class attribute ``neutral``, one whose counts begin with those of
``ngram=packed`` by ``starts_packed`` (bool; False where it has none): rules between groups ask for them.

Every module is a word of the command line, leaves apart. Contract: ``pgolf.eval.evaluation.Counts``.
Leaves: ``counters``, ``packed_counts``, ``packed_start``, ``packing``, ``pruning``, ``trie``.
"""
