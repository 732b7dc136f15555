"""Adaptation of the network on tokens that have already been scored."""
