"""Fixtures of the tests of sweeps: an S3 server on this machine, three kinds of stores."""

from __future__ import annotations

import uuid

import boto3
import pytest
from moto.server import ThreadedMotoServer

from icl_lib.experiments.sweeps.store import Store


@pytest.fixture(scope="module", name="s3")
def s3_server():
    """Moto's S3 server; the environment leads there."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield
    server.stop()


@pytest.fixture(name="bucket")
def new_bucket(s3):
    """The address of a folder in an empty bucket."""
    name = f"bucket-{uuid.uuid4().hex}"
    boto3.client("s3").create_bucket(Bucket=name)
    return f"s3://{name}/folder"


@pytest.fixture(name="store", params=["folder", "memory", "s3"])
def store_of_each_kind(request, tmp_path):
    """A folder, a store in memory, an S3 bucket."""
    if request.param == "s3":
        return Store(request.getfixturevalue("bucket"))
    if request.param == "memory":
        return Store(f"memory://{uuid.uuid4().hex}")
    return Store(str(tmp_path / "store"))


@pytest.fixture(name="shared", params=["folder", "s3"])
def store_of_several_processes(request, tmp_path):
    """A store that several processes can share: a folder, an S3 bucket."""
    if request.param == "s3":
        return Store(request.getfixturevalue("bucket"))
    return Store(str(tmp_path / "store"))
