"""Tokenizers: text to uint16 ids and back, and the bytes each id stands for.

A *recipe* (what ``tokenizer=...`` builds) makes a tokenizer for one corpus; the tokenizer itself travels
in the artifact as a blob (``pgolf.tokenizer.blob``).
"""
