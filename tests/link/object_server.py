"""An object store that checks signatures, written from the published description of SigV4.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html; nothing of what signs
is used here.
"""

import contextlib
import hashlib
import hmac
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, quote, unquote, urlsplit


def may_get(url: str, host: str, keys: Mapping[str, str], now: datetime) -> bool:
    """Return whether the signature in *url* (path and query) allows to get it now."""
    parts = urlsplit(url)
    query = parse_qsl(parts.query, keep_blank_values=True)
    given = dict(query)
    try:
        access_key, day, region, service, kind = given["X-Amz-Credential"].split("/")
        signed = datetime.strptime(given["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        lifetime = timedelta(seconds=int(given["X-Amz-Expires"]))
        signature, algorithm = given["X-Amz-Signature"], given["X-Amz-Algorithm"]
        secret = keys[access_key]
    except (KeyError, ValueError):
        return False
    if (algorithm, service, kind) != ("AWS4-HMAC-SHA256", "s3", "aws4_request"):
        return False
    if given["X-Amz-SignedHeaders"] != "host" or not signed <= now <= signed + lifetime:
        return False
    canonical = "&".join(
        sorted(
            f"{quote(key, safe='-_.~')}={quote(value, safe='-_.~')}"
            for key, value in query
            if key != "X-Amz-Signature"
        )
    )
    request = f"GET\n{parts.path}\n{canonical}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD"
    scope = f"{day}/{region}/s3/aws4_request"
    digest = hashlib.sha256(request.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{given['X-Amz-Date']}\n{scope}\n{digest}"
    key = f"AWS4{secret}".encode()
    for step in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, step.encode(), "sha256")
    return hmac.compare_digest(hmac.digest(key, text.encode(), "sha256").hex(), signature)


@contextlib.contextmanager
def object_server(keys: Mapping[str, str], objects: Mapping[str, bytes]) -> Iterator[str]:
    """Serve *objects*, by `bucket/key`, to requests that are signed with *keys*."""

    class ObjectHandler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            now = datetime.now(UTC)
            content = objects.get(unquote(urlsplit(self.path).path).removeprefix("/"))
            if not may_get(self.path, self.headers["Host"], keys, now):
                self.answer(403, b"SignatureDoesNotMatch")
            elif content is None:
                self.answer(404, b"NoSuchKey")
            else:
                self.answer(200, content)

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), ObjectHandler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(timeout=60)
