"""Commands that ask about the server and its collections."""

from __future__ import annotations

import os
import platform
import socket
import time
from datetime import UTC, datetime
from typing import Any

from bson import encode

from imatgen_flows.launchpad.collection import MAX_DOCUMENT, Collection
from imatgen_flows.launchpad.command_fields import OK, Context, Handler, Reply, name_in
from imatgen_flows.launchpad.errors import INVALID_OPTIONS, NO_REPLICATION, CommandError
from imatgen_flows.launchpad.query import CODEC, Document
from imatgen_flows.launchpad.query.numbers import as_float

VERSION = [6, 0, 0, 0]  # of MongoDB, whose commands these are
STARTED = time.monotonic()
PARAMETERS: dict[str, Any] = {"featureCompatibilityVersion": {"version": "6.0"}}


def build_info() -> Reply:
    """Return the version of MongoDB that the server reports."""
    version = ".".join(map(str, VERSION[:3]))
    return {
        "version": version,
        "versionArray": VERSION,
        "gitVersion": "imatgen-flows",
        "bits": 64,
        "debug": False,
        "modules": [],
        "maxBsonObjectSize": MAX_DOCUMENT,
        **OK,
    }


def _server_status(_context: Context, _command: Document, _database: str) -> Reply:
    uptime = time.monotonic() - STARTED
    return {
        "host": socket.gethostname(),
        "version": build_info()["version"],
        "process": "imatgen launchpad",
        "pid": os.getpid(),
        "uptime": uptime,
        "uptimeMillis": int(uptime * 1000),
        "localTime": datetime.now(UTC),
        **OK,
    }


def _host_info(_context: Context, _command: Document, _database: str) -> Reply:
    return {
        "system": {
            "currentTime": datetime.now(UTC),
            "hostname": socket.gethostname(),
            "cpuAddrSize": 64,
            "numCores": os.cpu_count() or 1,
            "cpuArch": platform.machine(),
        },
        "os": {"type": platform.system(), "name": platform.platform(), "version": platform.release()},
        "extra": {},
        **OK,
    }


def _size(collection: Collection) -> int:
    """Return the size of the documents of a collection in bytes."""
    return sum(len(encode(document, codec_options=CODEC)) for document in collection.find({}))


def _sizes(collections: list[Collection], command: Document) -> Document:
    scale = as_float(command.get("scale", 1)) or 1
    objects, size = sum(map(len, collections)), sum(map(_size, collections))
    return {
        "objects": objects,
        "avgObjSize": size / objects if objects else 0,
        "size": size / scale,
        "scaleFactor": scale,
    }


def _database_stats(context: Context, command: Document, database: str) -> Reply:
    collections = context.engine.collections(database)
    sizes = _sizes(collections, command)
    return {
        "db": database,
        "collections": len(collections),
        "views": 0,
        "objects": sizes["objects"],
        "avgObjSize": sizes["avgObjSize"],
        "dataSize": sizes["size"],
        "storageSize": sizes["size"],
        "indexes": sum(len(item.indexes) for item in collections),
        "indexSize": 0.0,
        "totalSize": sizes["size"],
        "scaleFactor": sizes["scaleFactor"],
        **OK,
    }


def _collection_stats(context: Context, command: Document, database: str) -> Reply:
    name = name_in(command)
    collection = context.engine.find_collection(database, name)
    sizes = _sizes([collection] if collection else [], command)
    indexes = list(collection.indexes) if collection else []
    return {
        "ns": f"{database}.{name}",
        "count": sizes["objects"],
        "size": sizes["size"],
        "avgObjSize": sizes["avgObjSize"],
        "storageSize": sizes["size"],
        "totalSize": sizes["size"],
        "nindexes": len(indexes),
        "indexSizes": dict.fromkeys(indexes, 0),
        "totalIndexSize": 0,
        "capped": False,
        "scaleFactor": sizes["scaleFactor"],
        **OK,
    }


def _validate(context: Context, command: Document, database: str) -> Reply:
    collection = context.existing(database, name_in(command))
    return {
        "ns": collection.namespace,
        "nInvalidDocuments": 0,
        "nrecords": len(collection),
        "nIndexes": len(collection.indexes),
        "keysPerIndex": dict.fromkeys(collection.indexes, len(collection)),
        "valid": True,
        "warnings": [],
        "errors": [],
        **OK,
    }


def _connection_status(context: Context, _command: Document, _database: str) -> Reply:
    users = [{"user": context.user, "db": "admin"}]
    return {
        "authInfo": {"authenticatedUsers": users, "authenticatedUserRoles": [{"role": "root", "db": "admin"}]},
        **OK,
    }


def _parameters(_context: Context, command: Document, _database: str) -> Reply:
    everything = command["getParameter"] == "*" or "allParameters" in command
    found = PARAMETERS if everything else {name: value for name, value in PARAMETERS.items() if name in command}
    if not found:
        raise CommandError(INVALID_OPTIONS, "no option found to get")
    return {**found, **OK}


def _no_replication(_context: Context, _command: Document, _database: str) -> Reply:
    raise CommandError(NO_REPLICATION, "not running with --replSet")


def _command_line(_context: Context, _command: Document, _database: str) -> Reply:
    return {"argv": ["imatgen", "launchpad"], "parsed": {}, **OK}


def _log(_context: Context, _command: Document, _database: str) -> Reply:
    return {"totalLinesWritten": 0, "log": [], **OK}


def _operations(_context: Context, _command: Document, _database: str) -> Reply:
    return {"inprog": [], **OK}


def _address(_context: Context, _command: Document, _database: str) -> Reply:
    return {"you": "127.0.0.1:0", **OK}


FACTS = {
    "serverStatus": Handler(_server_status),
    "hostInfo": Handler(_host_info),
    "dbStats": Handler(_database_stats, ("scale", "freeStorage")),
    "collStats": Handler(_collection_stats, ("scale",)),
    "validate": Handler(_validate, ("full", "repair", "metadata", "background")),
    "connectionStatus": Handler(_connection_status, ("showPrivileges",)),
    "getParameter": Handler(_parameters, ("allParameters", *PARAMETERS)),
    "getCmdLineOpts": Handler(_command_line),
    "getLog": Handler(_log),
    "currentOp": Handler(_operations, ("$all", "$ownOps")),
    "whatsmyuri": Handler(_address),
    "replSetGetStatus": Handler(_no_replication),
}
