"""Proof that a score is the length of a code a decoder could invert: probes, certificate, cheats."""
