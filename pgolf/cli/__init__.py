"""The command ``pgolf``: one file for each subcommand."""
