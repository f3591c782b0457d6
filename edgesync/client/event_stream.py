"""Server-sent events, as the REST API sends them (WHATWG HTML, section 9.2)."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StreamedEvent:
    """One event: *id* is the position to resume after, *data* the payload.

    Without data it only marks the position in the stream.
    """

    id: str
    type: str
    data: str


class EventDecoder:
    """Owns what of a stream has come and is no whole event yet."""

    def __init__(self) -> None:
        self._left = b""
        # Of the event that is not whole yet; the id lasts until there is another one.
        self._id, self._type, self._data = "", "", list[str]()

    def feed(self, chunk: bytes) -> Iterator[StreamedEvent]:
        """The events that *chunk* completes."""
        for line in self._lines(chunk):
            if line:
                self._take(line)
            else:
                if self._data or self._id:
                    yield StreamedEvent(self._id, self._type, "\n".join(self._data))
                self._type, self._data = "", []

    def _take(self, line: str) -> None:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "id":
            self._id = value
        elif field == "event":
            self._type = value
        elif field == "data":
            self._data.append(value)

    def _lines(self, chunk: bytes) -> Iterator[str]:
        """Lines end with LF or CRLF: an event's text may have other line ends."""
        *whole, self._left = (self._left + chunk).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r").decode(errors="replace")
