"""Names and words inside a sentence: their direction of writing begins and ends with them."""

from __future__ import annotations

import unicodedata

OPENING, CLOSING = "\u2066\u2067\u2068", "\u2069"
TURNING = {"R", "AL", "AN", "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def isolated(name: str) -> str:
    """The name, in Unicode's first strong isolate where it could turn the numbers beside it round.

    Examples
    --------
    >>> isolated("positive"), ascii(isolated("حسن"))
    ('positive', "'\\\\u2068\\\\u062d\\\\u0633\\\\u0646\\\\u2069'")
    """
    if name.isascii() or not any(unicodedata.bidirectional(sign) in TURNING for sign in name):
        return name
    return f"\u2068{_closed(name)}{CLOSING}"


def _closed(name: str) -> str:
    """With an end for every isolate that it opens, and no other."""
    signs, depth = [], 0
    for sign in name:
        if sign == CLOSING and depth == 0:
            continue
        depth += (sign in OPENING) - (sign == CLOSING)
        signs.append(sign)
    return "".join(signs) + CLOSING * depth
