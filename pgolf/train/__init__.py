"""The training loop, its clock and its compile warm-up."""
