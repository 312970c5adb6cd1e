"""Making a table that several processes may make at once.

Lance's own creation looks whether the table is there, then commits; a table that appeared in between, with
its rows, is overwritten (lance issue 4451, open with 13.0). Its first manifest written only if absent is
what makes a creation atomic, so the empty table is built elsewhere and its files are copied, that one last.
"""

import tempfile
from pathlib import Path

import lancedb
import pyarrow as pa

from components.data.storage import open_store


def create_if_absent(uri: str, name: str, schema: pa.Schema) -> None:
    """An empty table `name` in the folder or under the s3:// prefix `uri`; one that is there stays as it is.

    Raises StorageError. Credentials on S3 are boto3's.
    """
    store = open_store(uri)
    with tempfile.TemporaryDirectory() as temporary:
        lancedb.connect(temporary).create_table(name, schema=schema)
        files = [path for path in Path(temporary).rglob("*") if path.is_file()]
        for path in sorted(files, key=lambda path: path.suffix == ".manifest"):
            store.create(path.relative_to(temporary).as_posix(), path.read_bytes())
