"""Errors of commands, with the codes of MongoDB."""

from __future__ import annotations

from typing import Any

BAD_VALUE = 2
UNKNOWN = 8
FAILED_TO_PARSE = 9
UNAUTHORIZED = 13
TYPE_MISMATCH = 14
AUTHENTICATION_FAILED = 18
ILLEGAL_OPERATION = 20
NAMESPACE_NOT_FOUND = 26
INDEX_NOT_FOUND = 27
PATH_NOT_VIABLE = 28
CONFLICTING_UPDATE = 40
CURSOR_NOT_FOUND = 43
NAMESPACE_EXISTS = 48
MAX_TIME_EXPIRED = 50
DOLLAR_FIELD = 52
INVALID_ID = 53
NOT_SINGLE_VALUE = 54
EMPTY_FIELD_NAME = 56
COMMAND_NOT_FOUND = 59
IMMUTABLE_FIELD = 66
CANNOT_CREATE_INDEX = 67
INVALID_OPTIONS = 72
INVALID_NAMESPACE = 73
NO_REPLICATION = 76
INDEX_OPTIONS_CONFLICT = 85
INDEX_CONFLICT = 86
INVALID_OPERATOR = 168
QUERY_KILLED = 175
NOT_IMPLEMENTED = 238
CONVERSION_FAILURE = 241
TOO_MUCH_MEMORY = 292
DUPLICATE_KEY = 11000
OUT_OF_DISK = 14031
TOO_LARGE = 17419

NAMES = {
    BAD_VALUE: "BadValue",
    UNKNOWN: "UnknownError",
    FAILED_TO_PARSE: "FailedToParse",
    UNAUTHORIZED: "Unauthorized",
    TYPE_MISMATCH: "TypeMismatch",
    AUTHENTICATION_FAILED: "AuthenticationFailed",
    ILLEGAL_OPERATION: "IllegalOperation",
    NAMESPACE_NOT_FOUND: "NamespaceNotFound",
    INDEX_NOT_FOUND: "IndexNotFound",
    PATH_NOT_VIABLE: "PathNotViable",
    CONFLICTING_UPDATE: "ConflictingUpdateOperators",
    CURSOR_NOT_FOUND: "CursorNotFound",
    NAMESPACE_EXISTS: "NamespaceExists",
    MAX_TIME_EXPIRED: "MaxTimeMSExpired",
    DOLLAR_FIELD: "DollarPrefixedFieldName",
    INVALID_ID: "InvalidIdField",
    NOT_SINGLE_VALUE: "NotSingleValueField",
    EMPTY_FIELD_NAME: "EmptyFieldName",
    COMMAND_NOT_FOUND: "CommandNotFound",
    IMMUTABLE_FIELD: "ImmutableField",
    CANNOT_CREATE_INDEX: "CannotCreateIndex",
    INVALID_OPTIONS: "InvalidOptions",
    INVALID_NAMESPACE: "InvalidNamespace",
    NO_REPLICATION: "NoReplicationEnabled",
    INDEX_OPTIONS_CONFLICT: "IndexOptionsConflict",
    INDEX_CONFLICT: "IndexKeySpecsConflict",
    INVALID_OPERATOR: "InvalidPipelineOperator",
    QUERY_KILLED: "QueryPlanKilled",
    NOT_IMPLEMENTED: "NotImplemented",
    CONVERSION_FAILURE: "ConversionFailure",
    TOO_MUCH_MEMORY: "QueryExceededMemoryLimitNoDiskUseAllowed",
    DUPLICATE_KEY: "DuplicateKey",
    OUT_OF_DISK: "OutOfDiskSpace",
    TOO_LARGE: "BSONObjectTooLarge",
}

# codes without a name, which MongoDB calls Location and the number
GROUP_NEEDS_OBJECT = 15947
UNKNOWN_ACCUMULATOR = 15952
GROUP_NEEDS_ID = 15955
ZERO_LIMIT = 15958
BAD_SORT = 15974
BAD_SORT_KEY = 15975
TWO_OPERATORS = 15983
NO_DATE = 16006
BAD_ARGUMENTS = 16020
BAD_FIELD_PATH = 16410
CONCATENATES_STRINGS = 16702
SIZE_NEEDS_ARRAY = 17124
UNDEFINED_VARIABLE = 17276
CONCATENATES_ARRAYS = 28664
NO_ARRAY = 28689
NEGATIVE_ROOT = 28714
NOT_NUMERIC = 28765
BAD_UNWIND = 28811
UNWIND_NEEDS_PATH = 28818
BAD_SLICE = 28667
PATH_COLLISION = 31250
INCLUSION_IN_EXCLUSION = 31253
EXCLUSION_IN_INCLUSION = 31254
POSITIONAL_NOT_FOUND = 51246
NO_STRING = 34471
NO_BRANCH = 40066
IN_NEEDS_ARRAY = 40081
BAD_ACCUMULATOR = 40234
BAD_ROOT = 40228
NOT_SET = 17040
BAD_STAGE = 40323
UNKNOWN_STAGE = 40324
MERGES_OBJECTS = 40400
UNKNOWN_FIELD = 40415
BAD_TIME_ZONE = 40485
CHANGE_STREAM = 40573
NEGATIVE_NUMBER = 51024
INVALID_REGEX = 51091
EMPTY_SUBPROJECTION = 51270
EMPTY_PROJECTION = 51272
BAD_SKIP = 5107200
BAD_LIMIT = 5107201
BAD_PIPELINE = TYPE_MISMATCH
NO_BUCKET = NO_BRANCH


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
        return {"ok": 0.0, **self.fields(), "codeName": NAMES.get(self.code, f"Location{self.code}")}

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
    if isinstance(error, ValueError | TypeError | KeyError | IndexError | AttributeError):
        return CommandError(BAD_VALUE, f"{type(error).__name__}: {error}")
    return None
