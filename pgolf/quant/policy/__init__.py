"""Policies: which tensor is stored how."""
