"""Scales: how far a row's grid reaches."""
