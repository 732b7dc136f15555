"""Leaves everything else may import: errors, protocols, result records, device and process facts."""
