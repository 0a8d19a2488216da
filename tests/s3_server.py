"""A folder served as Amazon S3 serves a bucket: listing, sizes, and ranges of bytes.

    python s3_server.py FOLDER

prints its port. The folders in FOLDER are the buckets; nothing can be written.
"""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

PAGE = 3
"""Keys of a page of a listing: few, so that a client has to ask for the next one."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # head and body in one packet: the client would wait between them
    root = Path()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET(body=False)

    def do_GET(self, *, body: bool = True) -> None:
        url = urlsplit(self.path)
        bucket, _, key = unquote(url.path).lstrip("/").partition("/")
        if not (self.root / bucket).is_dir():
            self.answer(404, b"<Error><Code>NoSuchBucket</Code></Error>", body)
        elif not key:
            listed = self.listing(self.root / bucket, parse_qs(url.query, keep_blank_values=True))
            self.answer(200, listed, body)
        elif not (file := self.root / bucket / key).is_file():
            self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>", body)
        elif (wanted := self.headers.get("Range")) is None:
            self.answer(200, file.read_bytes(), body)
        else:
            start, _, end = wanted.removeprefix("bytes=").partition("-")
            content = file.read_bytes()
            part = content[int(start) : int(end) + 1 if end else None]
            place = f"bytes {start}-{int(start) + len(part) - 1}/{len(content)}"
            self.answer(206, part, body, {"Content-Range": place})

    def answer(
        self, status: int, content: bytes, body: bool, more: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Last-Modified", "Sun, 01 Nov 2026 00:00:00 GMT")
        self.send_header("ETag", '"0"')
        self.send_header("x-amz-bucket-region", "us-east-1")
        for name, value in (more or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def listing(self, bucket: Path, query: dict[str, list[str]]) -> bytes:
        prefix, delimiter = (query.get(name, [""])[0] for name in ("prefix", "delimiter"))
        keys = sorted(f.relative_to(bucket).as_posix() for f in bucket.rglob("*") if f.is_file())
        entries: dict[str, str] = {}
        for key in keys:
            rest = key.removeprefix(prefix)
            if not key.startswith(prefix):
                continue
            if delimiter and delimiter in rest:
                folder = prefix + rest.partition(delimiter)[0] + delimiter
                entries[folder] = (
                    f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>"
                )
            else:
                size = (bucket / key).stat().st_size
                entries[key] = (
                    f"<Contents><Key>{escape(key)}</Key><Size>{size}</Size><ETag>0</ETag>"
                    "<LastModified>2026-11-01T00:00:00.000Z</LastModified></Contents>"
                )
        first = int(query.get("continuation-token", ["0"])[0])
        most = min(PAGE, int(query.get("max-keys", ["1000"])[0]))
        page = list(entries.values())[first : first + most]
        more = first + most < len(entries)
        token = f"<NextContinuationToken>{first + most}</NextContinuationToken>" if more else ""
        return (
            f"<ListBucketResult><KeyCount>{len(page)}</KeyCount><IsTruncated>{str(more).lower()}"
            f"</IsTruncated>{token}{''.join(page)}</ListBucketResult>"
        ).encode()


if __name__ == "__main__":
    Handler.root = Path(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
