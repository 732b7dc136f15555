"""Options of the config group arch/mlp."""
