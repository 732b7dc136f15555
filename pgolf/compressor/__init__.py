"""Compressors: from bytes to fewer bytes, and decoders that never allocate more than was declared."""
