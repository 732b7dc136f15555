"""Combining experts into one normalised distribution.

An option that does nothing says so by its class attribute ``neutral``, one whose counts begin with those of
``ngram=packed`` by ``starts_packed`` (bool; False where it has none): rules between groups ask for them.

Every module is a word of the command line, leaves apart. Contract: ``pgolf.eval.evaluation.Mixture``.
Leaves: ``gates``, ``shares``.
"""
