"""Timings of the hot paths: ``pgolf bench``. Every module is a command, the leaf ``stepper`` apart."""
