"""The records of a run: its folder, result, logs, ledger, console, and the table of all runs."""
