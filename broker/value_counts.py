"""How many values a message has, counted before it is decoded.

An empty list is one byte of MessagePack and 64 bytes of memory: a packet of 1 MiB that is made of
them took 80 MB and held the interpreter for half a second (measured).
"""

VALUES_LIMIT = 100_000
"""Values of one message, names of fields included; more than the largest report can have."""

_NOT_STRUCTURE = bytes(set(range(256)) - set(b'",:[{'))

# MessagePack, by the first byte of a value: bytes after it, without a text's own, and how many of
# them hold the length of that text.
_AFTER = {
    1: (0xC4, 0xCC, 0xD0, 0xD9),
    2: (0xC5, 0xC7, 0xCD, 0xD1, 0xD4, 0xDA, 0xDC, 0xDE),
    3: (0xC8, 0xD5),
    4: (0xC6, 0xCA, 0xCE, 0xD2, 0xDB, 0xDD, 0xDF),
    5: (0xC9, 0xD6),
    8: (0xCB, 0xCF, 0xD3),
    9: (0xD7,),
    17: (0xD8,),
}
_LENGTHS = {1: (0xC4, 0xC7, 0xD9), 2: (0xC5, 0xC8, 0xDA), 4: (0xC6, 0xC9, 0xDB)}
_SHORT_TEXTS = {0xA0 + length: length for length in range(32)}
_AFTER_OF = {first: size for size, firsts in _AFTER.items() for first in firsts} | _SHORT_TEXTS
_LENGTH_OF = {first: size for size, firsts in _LENGTHS.items() for first in firsts}


def has_too_many_values(payload: bytes, *, is_json: bool) -> bool:
    """Whether *payload* has more than `VALUES_LIMIT`; no matter whether it can be decoded.

    Reads all of it only if it is longer than that; takes 40 ms at most (measured).
    """
    if len(payload) <= VALUES_LIMIT:
        return False
    return _is_large_json(payload) if is_json else _is_large_msgpack(payload)


def _is_large_json(text: bytes) -> bool:
    if _marks(text) <= VALUES_LIMIT:
        return False
    unescaped = text.replace(rb"\\", b"").replace(rb"\"", b"")
    structure = unescaped.translate(None, _NOT_STRUCTURE)
    pieces = structure.split(b'"', 2 * VALUES_LIMIT)
    return len(pieces) > 2 * VALUES_LIMIT or _marks(b"".join(pieces[::2])) > VALUES_LIMIT


def _marks(text: bytes) -> int:
    """At least as many as there are values and names, whatever is in strings."""
    return sum(text.count(mark) for mark in (b",", b":", b"[", b"{"))


def _is_large_msgpack(data: bytes) -> bool:
    place = 0
    for _ in range(VALUES_LIMIT):
        if place >= len(data):
            return False
        first = data[place]
        if length := _LENGTH_OF.get(first):
            place += int.from_bytes(data[place + 1 : place + 1 + length])
        place += 1 + _AFTER_OF.get(first, 0)
    return place < len(data)
