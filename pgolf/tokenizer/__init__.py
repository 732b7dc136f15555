"""Tokenizers: text to uint16 ids and back, and the bytes each id stands for.

A *recipe* (what ``tokenizer=...`` builds) makes a tokenizer for one corpus; the tokenizer itself travels
in the artifact as a blob (``pgolf.tokenizer.blob``).

Every module is a word of the command line, leaves apart. Contract: ``pgolf.tokenizer.recipe.Recipe``. Leaves:
``blob``, ``fixed``, ``letter_case``, ``model_proto``, ``pieces``, ``recipe``, ``tables``.
"""
