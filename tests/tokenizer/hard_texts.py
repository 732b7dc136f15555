"""Texts that are hard on tokenizers learned from text, one to learn from, and settings to learn with."""

from pgolf.data.tiny import Tiny

TRICKY = [
    "",
    " ",
    "\u2581",
    "a\u2581 b\u2581\u2581",
    " \u2581 ",
    "\x00x\x01\x7f",
    "<0x41><s></s><pad><unk>",
    "é😀 e\u0301 \u200d\ufeff",
    "a\r\nb\rc\n\n\nd\n",
    "  lead and trail  ",
    "\ufffd \u2047 \u2585",
    "\t\t\tx",
    "\ue001\ue004",
]

ODD_TEXTS = {
    "few words": (4096, ["a few words only"]),
    "one letter": (300, ["aaaa"]),
    "spaces": (300, ["   "]),
    "no break spaces": (300, ["\u00a0\u00a0 \u200b"]),
    "many characters": (400, ["".join(map(chr, range(0x4E00, 0x4E00 + 900)))]),
    "more than any vocabulary": (400, ["".join(map(chr, range(0x20000, 0x20000 + 66000)))]),
    "control characters": (300, ["\x00\x01\n\t\x7f"]),
    "reserved characters": (300, ["\u2581\u2585"]),
    "only symbols": (300, ["\n\n\n\n"]),
    "nothing": (300, []),
}


def texts():
    tiny = Tiny(document_count=20, document_bytes=1500, text_seed=0)
    return (text for _, text in tiny.documents("train"))


def settings_for(vocab_size, **changed):
    numbers = {"character_coverage": 0.9995, "split_digits": False, "symbols": ["\n\n"], "train_bytes": 10**8}
    return {"vocab_size": vocab_size, **numbers, **changed}
