"""MongoDB's wire protocol: messages of kind OP_MSG, and OP_QUERY for the first message of a client."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from bson import decode, encode
from bson.errors import BSONError

from imatgen_flows.launchpad.query import CODEC, Document

OP_REPLY, OP_QUERY, OP_MSG = 1, 2004, 2013
CHECKSUM, MORE_TO_COME = 1, 2  # flags of OP_MSG
HEADER = struct.Struct("<iiii")  # length, request, the request replied to, kind of message
MAX_MESSAGE = 48_000_000  # bytes, as MongoDB

_numbers = count(1)


class ProtocolError(Exception):
    """A client sent a message that violates the protocol."""


@dataclass(frozen=True)
class Request:
    """A command, with the header of its message.

    Attributes
    ----------
    kind : of the message
    silent : whether the client expects no reply
    """

    number: int
    kind: int
    command: Document
    silent: bool = False


def read_request(receive: Callable[[int], bytes], limit: int = MAX_MESSAGE) -> Request:
    """Read one message.

    Parameters
    ----------
    receive : returns the given number of bytes
    limit : longest message to accept, in bytes

    Raises
    ------
    ProtocolError
        Where it is longer, malformed, or of another kind.
    """
    length, number, _, kind = HEADER.unpack(receive(HEADER.size))
    if not HEADER.size <= length <= limit:
        raise ProtocolError(f"a message of {length} bytes")
    body = receive(length - HEADER.size)
    try:
        if kind == OP_QUERY:
            return Request(number, kind, _query(body))
        if kind == OP_MSG:
            [flags] = struct.unpack_from("<I", body)
            end = len(body) - (4 if flags & CHECKSUM else 0)
            return Request(number, kind, _sections(body[4:end]), bool(flags & MORE_TO_COME))
    except (BSONError, struct.error, ValueError, TypeError, IndexError, OverflowError, RecursionError) as error:
        raise ProtocolError(f"a malformed message: {error}") from error
    raise ProtocolError(f"a message of kind {kind}")


def encode_reply(request: Request, reply: Document) -> bytes:
    """Encode the message that replies to a request."""
    body = encode(reply, codec_options=CODEC)
    if request.kind == OP_QUERY:
        kind, body = OP_REPLY, struct.pack("<iqii", 0, 0, 0, 1) + body  # flags, cursor, start, documents
    else:
        kind, body = OP_MSG, b"\0\0\0\0\0" + body  # no flags, one section of kind 0
    return HEADER.pack(HEADER.size + len(body), next(_numbers) % 2**31, request.number, kind) + body


def _query(body: bytes) -> Document:
    end = body.index(b"\0", 4)
    [length] = struct.unpack_from("<i", body, end + 9)
    command = decode(body[end + 9 : end + 9 + length], CODEC)
    return {**command, "$db": body[4:end].decode().removesuffix(".$cmd")}


def _sections(body: bytes) -> Document:
    """Combine a command with the documents in the other sections of its message."""
    command: Document = {}
    beside: Document = {}
    position = 0
    while position < len(body):
        kind, start = body[position], position + 1
        [length] = struct.unpack_from("<i", body, start)
        if length < 5 or start + length > len(body):
            raise ValueError("a section that is longer than its message")
        section = body[start : start + length]
        if kind == 0:
            command = decode(section, CODEC)
        elif kind == 1:
            end = section.index(b"\0", 4)
            beside[section[4:end].decode()] = _documents(section[end + 1 :])
        else:
            raise ValueError(f"a section of kind {kind}")
        position = start + length
    return {**command, **beside}


def _documents(body: bytes) -> list[Document]:
    documents, position = [], 0
    while position < len(body):
        [length] = struct.unpack_from("<i", body, position)
        if length < 5:
            raise ValueError("a document without a length")
        documents.append(decode(body[position : position + length], CODEC))
        position += length
    return documents
