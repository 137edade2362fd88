"""Server side of the authentication by SCRAM-SHA-256 (RFC 5802, RFC 7677); the password itself is never sent."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from base64 import b64decode, b64encode
from dataclasses import dataclass

from imatgen_flows.launchpad.errors import AUTHENTICATION_FAILED, CommandError

MECHANISM = "SCRAM-SHA-256"
ITERATIONS = 15_000  # as MongoDB


@dataclass(frozen=True)
class Keys:
    """Keys that the server derives from the password of its user."""

    username: str
    salt: bytes
    stored: bytes
    server: bytes

    @classmethod
    def of(cls, username: str, password: str) -> Keys:
        """Derive the keys of a password, which must be ASCII, so that it needs no SASLprep."""
        salt = os.urandom(28)
        salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, ITERATIONS)
        client = _hmac(salted, b"Client Key")
        return cls(username, salt, hashlib.sha256(client).digest(), _hmac(salted, b"Server Key"))


class Conversation:
    """One attempt of a client to authenticate.

    Every failure gives the same answer, so that a client cannot find out whether a user exists.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._known = False
        self._nonce = b""
        self._exchanged = b""

    def first(self, message: bytes) -> bytes:
        """Answer the client's first message with nonce, salt and number of iterations.

        Raises
        ------
        CommandError
            Where the message is malformed.
        """
        header, _, bare = message.partition(b",,")
        fields = _fields(bare)
        if header != b"n" or not fields.get("n") or not fields.get("r"):
            raise failed()
        username = fields["n"].replace("=2C", ",").replace("=3D", "=")
        self._known = hmac.compare_digest(username.encode(), self._keys.username.encode())
        self._nonce = fields["r"].encode() + secrets.token_urlsafe(24).encode()
        answer = b"r=%s,s=%s,i=%d" % (self._nonce, b64encode(self._keys.salt), ITERATIONS)
        self._exchanged = bare + b"," + answer
        return answer

    def final(self, message: bytes) -> bytes:
        """Answer the client's proof with the server's.

        Raises
        ------
        CommandError
            Where user or password are wrong.
        """
        without_proof, _, proof = message.rpartition(b",p=")
        fields = _fields(without_proof)
        exchanged = self._exchanged + b"," + without_proof
        signature = _hmac(self._keys.stored, exchanged)
        try:
            sent = b64decode(proof, validate=True)
        except ValueError:
            raise failed() from None
        client = bytes(a ^ b for a, b in zip(sent, signature, strict=False))
        proven = hmac.compare_digest(hashlib.sha256(client).digest(), self._keys.stored)
        fresh = hmac.compare_digest(fields.get("r", "").encode(), self._nonce) and fields.get("c") == "biws"
        if not (proven and fresh and self._known and self._nonce):
            raise failed()
        return b"v=" + b64encode(_hmac(self._keys.server, exchanged))


def failed() -> CommandError:
    """Return the error of a failed attempt."""
    return CommandError(AUTHENTICATION_FAILED, "Authentication failed: user or password are wrong.")


def _fields(message: bytes) -> dict[str, str]:
    try:
        parts = [part.partition("=") for part in message.decode().split(",")]
    except UnicodeDecodeError:
        raise failed() from None
    return {name: value for name, _, value in parts}


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")
