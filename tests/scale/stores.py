"""Places for the trials: a small disk that can be filled, an S3 server that can refuse."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

MEGABYTES = 64  # above the room that a run asks for


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount a file system of a few megabytes (Linux, as root)."""
    folder.mkdir(parents=True, exist_ok=True)
    options = ["-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", str(folder)]
    subprocess.run(["mount", *options], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Fill the disk of ``folder`` to the last byte; return the file that does so."""
    path = folder / "filler"
    filler = os.open(path, os.O_WRONLY | os.O_CREAT)
    block = b"\0" * 2**20
    while block:
        try:
            os.write(filler, block)
        except OSError:
            block = block[: len(block) // 2]
    os.close(filler)
    return path


def set_immutable(folder: Path, refuses: bool) -> None:
    """Let a folder refuse every change, also to root, or take them again (ext4, as root)."""
    subprocess.run(["chattr", "+i" if refuses else "-i", str(folder)], check=True)


class _Silent(WSGIRequestHandler):
    def log_request(self, *_):
        """Say nothing."""


class RefusingS3:
    """Moto's S3 server; while ``refuses`` is set it answers 403 to every request that writes."""

    def __init__(self):
        self.app = DomainDispatcherApplication(create_backend_app)
        self.refuses = False
        self.refused = 0
        self.server = make_server("127.0.0.1", 0, self, threaded=True, request_handler=_Silent)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __call__(self, environ, start_response):
        """Answer one request."""
        if self.refuses and environ["REQUEST_METHOD"] in ("PUT", "POST"):
            self.refused += 1
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
            headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
            start_response("403 Forbidden", headers)
            return [body]
        return self.app(environ, start_response)

    def __enter__(self):
        self.thread.start()
        os.environ |= {
            "AWS_ENDPOINT_URL": self.address,
            "AWS_ACCESS_KEY_ID": "trial",
            "AWS_SECRET_ACCESS_KEY": "trial",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        return self

    def bucket(self, name: str) -> str:
        """Make a bucket; return its address."""
        boto3.client("s3").create_bucket(Bucket=name)
        return f"s3://{name}/sweep"

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
