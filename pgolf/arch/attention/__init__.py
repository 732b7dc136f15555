"""Options of the config group arch/attention."""
