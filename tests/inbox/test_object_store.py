"""A growing prefix of an object store as source, and a prefix as the place of the result, on a local S3 server."""

from pathlib import Path

import pandas as pd
import pytest

from hbaf.inbox.entries import Inbox
from hbaf.inbox.ledger.database import Ledger
from hbaf.inbox.scheduled import score_source
from hbaf.inbox.source import SourceError, SourceParameters
from hbaf.inbox.verify_scores import verify_scores
from tests.feature_store.conftest import s3_bucket, s3_server  # noqa: F401  # fixtures
from tests.inbox.conftest import call


def upload(folder: Path, bucket: str, name: str) -> None:
    """A call and then its marker, as an uploader would."""
    import s3fs

    system = s3fs.S3FileSystem()
    for suffix in ("wav", "vtt", "ready"):
        system.put_file(str(folder / f"{name}.{suffix}"), f"{bucket}/calls/{name}.{suffix}")


def test_what_is_new_below_a_prefix_is_scored_once(tmp_path: Path, s3_bucket: str, home: Path) -> None:  # noqa: F811
    call(tmp_path, "2026/11/one", 200)
    call(tmp_path, "two", 220)
    parameters = SourceParameters(url=f"{s3_bucket}/calls", published=f"{s3_bucket}/published/calls", shard=1)
    with pytest.raises(SourceError, match="no such folder"):
        score_source(parameters, purpose="research", workers=1)
    upload(tmp_path, s3_bucket, "2026/11/one")
    assert score_source(parameters, purpose="research", workers=1).counts == {"published": 1}
    upload(tmp_path, s3_bucket, "two")
    assert score_source(parameters, purpose="research", workers=1).counts == {"published": 1}
    again = score_source(parameters, purpose="research", workers=1)
    assert again.counts == {}
    table = pd.read_parquet(again.published)  # any tool that knows the address
    assert sorted(table["utterance_id"]) == [f"calls/{name}/{n}" for name in ("2026:11:one", "two") for n in range(3)]
    assert set(table["audio"]) == {"2026/11/one.wav", "two.wav"}
    assert {entry.state for entry in Inbox(Ledger.open()).entries()} == {"published"}
    replay = verify_scores(parameters, published=again.published, workers=1)
    assert (replay.same, replay.rows) == (True, 6)
    # Copies of recordings are made to be read; none stays.
    assert not [file for file in home.rglob("*") if file.suffix in (".wav", ".vtt")]
