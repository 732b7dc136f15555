"""A run from its words to its record: the stages, who keeps their record, and what begins from a finished run."""
