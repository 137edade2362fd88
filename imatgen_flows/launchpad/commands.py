"""The commands of MongoDB that the server knows, and how each is run."""

from __future__ import annotations

import logging
from typing import Any

from imatgen_flows.launchpad.administration import ADMINISTRATION
from imatgen_flows.launchpad.command_fields import OK, Context, Handler, Reply, check_fields
from imatgen_flows.launchpad.cursors import Cursors
from imatgen_flows.launchpad.deadlines import limited, seconds_of
from imatgen_flows.launchpad.engine import DatabaseEngine
from imatgen_flows.launchpad.errors import (
    COMMAND_NOT_FOUND,
    ILLEGAL_OPERATION,
    NOT_IMPLEMENTED,
    UNKNOWN,
    CommandError,
    as_command_error,
)
from imatgen_flows.launchpad.query import Document, clock
from imatgen_flows.launchpad.reading import READING
from imatgen_flows.launchpad.server_facts import FACTS, build_info
from imatgen_flows.launchpad.writing import WRITING

__all__ = ["HANDLERS", "OK", "UNSUPPORTED_COMMANDS", "Commands", "Reply", "build_info"]

log = logging.getLogger(__name__)

HANDLERS: dict[str, Handler] = {**READING, **WRITING, **ADMINISTRATION, **FACTS}
# what MongoDB has and the server refuses; another name is no command at all
UNSUPPORTED_COMMANDS = (
    "abortTransaction",
    "applyOps",
    "bulkWrite",
    "cloneCollectionAsCapped",
    "collMod",
    "commitTransaction",
    "convertToCapped",
    "createRole",
    "createSearchIndexes",
    "createUser",
    "dropAllUsersFromDatabase",
    "dropConnections",
    "dropRole",
    "dropUser",
    "explain",
    "fsync",
    "geoSearch",
    "grantRolesToUser",
    "killOp",
    "logout",
    "mapReduce",
    "planCacheClear",
    "profile",
    "reIndex",
    "rolesInfo",
    "setFeatureCompatibilityVersion",
    "setParameter",
    "shutdown",
    "top",
    "updateUser",
    "usersInfo",
)
USERS = ("createUser", "dropUser", "updateUser", "usersInfo", "createRole", "dropRole", "rolesInfo", "grantRolesToUser")

_BY_NAME = {name.lower(): handler for name, handler in HANDLERS.items()}
_UNSUPPORTED = {name.lower(): name for name in UNSUPPORTED_COMMANDS}


class Commands:
    """Runs commands on the databases of an engine, of those that change something one at a time.

    Parameters
    ----------
    user : name of the only user
    """

    def __init__(self, engine: DatabaseEngine, user: str = "") -> None:
        self._engine = engine
        self._context = Context(engine, Cursors(), user)

    def run(self, command: Document) -> Reply:
        """Run a command and return its reply, also where it fails."""
        name = next(iter(command), "")
        try:
            handler = _handler(name)
            check_fields(command, name, handler)
            with limited(seconds_of(command)), self._engine.command() if handler.changes else self._engine.searching():
                clock.start()
                return handler.run(self._context, command, command.get("$db", "admin"))
        except Exception as error:
            known = as_command_error(error)
            if known is None:
                log.exception("command %s failed", name)
                known = CommandError(UNKNOWN, f"{type(error).__name__}: {error}")
            return known.reply()


def _handler(name: str) -> Handler:
    handler: Any = _BY_NAME.get(name.lower())
    if handler:
        return handler
    known = _UNSUPPORTED.get(name.lower())
    if known is None:
        raise CommandError(COMMAND_NOT_FOUND, f"no such command: '{name}'")
    if known.endswith("Transaction"):
        raise CommandError(ILLEGAL_OPERATION, f"the embedded LaunchPad has no transactions, and so no `{known}`")
    why = ": it has one user, of `imatgen launchpad start`" if known in USERS else ""
    raise CommandError(NOT_IMPLEMENTED, f"the embedded LaunchPad has no `{known}`{why}")
