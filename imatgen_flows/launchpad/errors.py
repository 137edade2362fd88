"""Errors of commands, with the codes of MongoDB."""

from __future__ import annotations

from typing import Any

from pymongo.errors import OperationFailure

BAD_VALUE = 2
UNKNOWN = 8
FAILED_TO_PARSE = 9
UNAUTHORIZED = 13
AUTHENTICATION_FAILED = 18
NAMESPACE_NOT_FOUND = 26
INDEX_NOT_FOUND = 27
CURSOR_NOT_FOUND = 43
NAMESPACE_EXISTS = 48
COMMAND_NOT_FOUND = 59
IMMUTABLE_FIELD = 66
INVALID_NAMESPACE = 73
INDEX_CONFLICT = 86
NOT_IMPLEMENTED = 238
DUPLICATE_KEY = 11000
OUT_OF_DISK = 14031
TOO_LARGE = 17419

NAMES = {
    BAD_VALUE: "BadValue",
    UNKNOWN: "UnknownError",
    FAILED_TO_PARSE: "FailedToParse",
    UNAUTHORIZED: "Unauthorized",
    AUTHENTICATION_FAILED: "AuthenticationFailed",
    NAMESPACE_NOT_FOUND: "NamespaceNotFound",
    INDEX_NOT_FOUND: "IndexNotFound",
    CURSOR_NOT_FOUND: "CursorNotFound",
    NAMESPACE_EXISTS: "NamespaceExists",
    COMMAND_NOT_FOUND: "CommandNotFound",
    IMMUTABLE_FIELD: "ImmutableField",
    INVALID_NAMESPACE: "InvalidNamespace",
    INDEX_CONFLICT: "IndexKeySpecsConflict",
    NOT_IMPLEMENTED: "NotImplemented",
    DUPLICATE_KEY: "DuplicateKey",
    OUT_OF_DISK: "OutOfDiskSpace",
    TOO_LARGE: "BSONObjectTooLarge",
}


class CommandError(Exception):
    """A command failed; the client gets the code and the message.

    Attributes
    ----------
    code : of MongoDB
    details : more fields of the reply
    """

    def __init__(self, code: int, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.details = details

    def reply(self) -> dict[str, Any]:
        """Return the reply to the command."""
        return {"ok": 0.0, **self.fields(), "codeName": NAMES[self.code]}

    def fields(self) -> dict[str, Any]:
        """Return the fields of the error, for a reply or for a list of write errors."""
        return {"code": self.code, "errmsg": str(self), **self.details}


def duplicate_key(namespace: str, index: str, pattern: dict[str, Any], values: dict[str, Any]) -> CommandError:
    """Return the error of a duplicate value in a unique index."""
    message = f"E11000 duplicate key error collection: {namespace} index: {index} dup key: {values}"
    return CommandError(DUPLICATE_KEY, message, keyPattern=pattern, keyValue=values)


def as_command_error(error: Exception) -> CommandError | None:
    """Convert an exception of the query language to a command error; None where the command did not cause it."""
    if isinstance(error, CommandError):
        return error
    if isinstance(error, NotImplementedError):
        return CommandError(NOT_IMPLEMENTED, f"the embedded LaunchPad cannot do this: {error}")
    if isinstance(error, OperationFailure):  # also WriteError
        return CommandError(error.code if error.code in NAMES else BAD_VALUE, str(error))
    if isinstance(error, ValueError | TypeError | KeyError | IndexError | AttributeError):
        return CommandError(BAD_VALUE, f"{type(error).__name__}: {error}")
    return None
