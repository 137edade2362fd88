"""The way from one database to another, such as from the embedded LaunchPad to MongoDB: all documents, and the indexes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imatgen_flows.errors import InputError
from imatgen_flows.managers.database import PATIENCE, address_of, connect, database_errors, read_launchpad_file
from imatgen_flows.managers.recovery import BUSY

if TYPE_CHECKING:
    from pymongo.database import Database

BATCH = 1000  # documents that are held at a time
INDEX_OPTIONS = ("name", "unique", "sparse", "partialFilterExpression")


def copy_database(source: Path, target: Path) -> dict[str, int]:
    """Copy the database of one configuration directory to that of another.

    Parameters
    ----------
    source, target : configuration directories, each with its `my_launchpad.yaml`; the database of the latter is empty

    Returns
    -------
    documents copied, by collection

    Raises
    ------
    InputError
        Where a file is missing, both name the same database, the target holds something, or a job is running.
    ImatgenError
        Where a database does not answer, or refuses; what was copied until then is removed.
    """
    with _database(source) as (here, old), _database(target) as (there, new):
        if (here, old.name) == (there, new.name):
            raise InputError(f"{source} and {target} both name the database {old.name} at {here}.")
        if held := sorted(new.list_collection_names()):
            raise InputError(
                f"the database {new.name} at {there} is not empty: it holds {', '.join(held)}. Name another one as "
                f"`database.name` in {target / 'cluster.yaml'}, then `imatgen init --cluster DIR`."
            )
        if busy := old["fireworks"].count_documents({"state": {"$in": sorted(BUSY)}}):
            raise InputError(
                f"{busy} jobs at {here} are running or in the queue. Stop the dispatcher, wait for them or `imatgen cancel`."
            )
        copied: dict[str, int] = {}
        try:
            for name in sorted(old.list_collection_names()):
                copied[name] = 0
                copied[name] = _copy_collection(old, new, name)
        except BaseException:
            for name in copied:
                new.drop_collection(name)
            raise
        return copied


def _copy_collection(old: Database, new: Database, name: str) -> int:
    """Copy the documents of a collection as they are stored, then its indexes; return the number of documents."""
    from bson.codec_options import CodecOptions
    from bson.raw_bson import RawBSONDocument

    raw: CodecOptions[Any] = CodecOptions(document_class=RawBSONDocument)
    documents = old.get_collection(name, codec_options=raw).find({}, batch_size=BATCH)
    into, number = new.get_collection(name, codec_options=raw), 0
    new.create_collection(name)
    while batch := list(islice(documents, BATCH)):
        into.insert_many(batch)
        number += len(batch)
    for index in old[name].list_indexes():
        if index["name"] != "_id_":
            options = {option: index[option] for option in INDEX_OPTIONS if option in index}
            into.create_index(list(index["key"].items()), **options)
    return number


@contextmanager
def _database(directory: Path) -> Iterator[tuple[str, Database]]:
    """Connect to the database of a configuration directory; yield its address with it."""
    content = read_launchpad_file(directory)
    address = address_of(content)
    with database_errors(address), connect(content, PATIENCE) as client:
        yield address, client[content["name"]]
