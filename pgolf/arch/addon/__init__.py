"""Options of the config group arch/addon."""
