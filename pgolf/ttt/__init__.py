"""Adaptation of the network on tokens that have already been scored.

An option that does nothing says so by its class attribute ``neutral`` (bool; False where it has none): rules between
groups ask for it.

Every module is a word of the command line, leaves apart. Contract: ``pgolf.eval.evaluation.Adaptation``. Leaves:
``adam``, ``chunks``, ``output``, ``rate``, ``selection``,
``unadapted``.
"""
