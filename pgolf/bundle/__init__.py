"""A run as one counted script, and the folder it is handed in with."""
