"""Options of the config group arch/init."""
