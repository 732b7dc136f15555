"""What happens once in a while during training: one file per hook."""
