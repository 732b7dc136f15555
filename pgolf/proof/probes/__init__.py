"""The probes (a) to (f), one module each, in the order of their letters (spec validity §5)."""
