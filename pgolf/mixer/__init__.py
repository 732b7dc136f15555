"""Combining experts into one normalised distribution."""
