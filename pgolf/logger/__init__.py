"""Sinks for the metrics of a run. A logger may never fail a run."""
