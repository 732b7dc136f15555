"""Options of the config group arch/recurrence."""
