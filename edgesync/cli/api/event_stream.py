"""Server-sent events, as the REST API sends them (WHATWG HTML, section 9.2)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StreamedEvent:
    """One event: *id* is the position to resume after, *data* the payload.

    Without data it only marks the position in the stream.
    """

    id: str
    type: str
    data: str


def events_in(chunks: Iterable[bytes]) -> Iterator[StreamedEvent]:
    """Events of a stream that comes in *chunks*, each when it is whole."""
    identity, kind, data = "", "", list[str]()
    for line in _lines(chunks):
        if line:
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "id":
                identity = value
            elif field == "event":
                kind = value
            elif field == "data":
                data.append(value)
        else:
            if data or identity:
                yield StreamedEvent(identity, kind, "\n".join(data))
            kind, data = "", []


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Lines end with LF or CRLF: an event's text may have other line ends."""
    left = b""
    for chunk in chunks:
        *whole, left = (left + chunk).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r").decode(errors="replace")
