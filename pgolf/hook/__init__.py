"""What happens once in a while during training: one file per hook.

Every module is a word of the command line, leaves apart. Contract: ``pgolf.train.trainer.Hook``. Leaves: none.
"""
