"""Timings of the hot paths: ``pgolf bench``."""
