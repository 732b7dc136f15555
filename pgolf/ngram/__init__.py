"""Experts built from counts of tokens that have already been scored.

An option that does nothing says so by its class attribute ``neutral`` (bool; False where it has none): rules between
groups ask for it.
"""
