"""Quantizers: from float weights to small integers and back."""
