"""Pruning: which weights become zero whatever the grid makes of them."""
