"""One S3 server on loopback for all tests here."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of a local S3 server; what is stored there ends with the session."""
    server = pytest.importorskip("moto.server", reason="moto is not installed: pip install 'hbaf[dev]'")
    pytest.importorskip("s3fs", reason="s3fs is not installed: pip install 'hbaf[s3]'")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def s3_bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of an empty folder in a bucket; credentials and address stand in the environment, as with any S3."""
    import uuid

    import s3fs

    for name, value in {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    system = s3fs.S3FileSystem()
    if not system.exists("features"):
        system.mkdir("features")
    return f"s3://features/{uuid.uuid4()}"
