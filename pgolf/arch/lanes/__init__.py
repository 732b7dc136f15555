"""Options of the config group arch/lanes."""
