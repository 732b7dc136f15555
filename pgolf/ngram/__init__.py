"""Experts built from counts of tokens that have already been scored."""
