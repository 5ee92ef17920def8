"""CAs and certificates for tests, made by trustme, and clients that use them."""

import ssl
from pathlib import Path
from typing import NamedTuple

import trustme

HOST = "127.0.0.1"


class Pair(NamedTuple):
    """A certificate and its key, as files."""

    cert: Path
    key: Path


class Authority:
    """A CA, and what it signs, in a directory."""

    def __init__(self, directory: Path, name: str) -> None:
        self.directory = directory
        self.name = name
        self.made = trustme.CA(organization_name=name)
        self.pem = directory / f"{name}.pem"
        self.made.cert_pem.write_to_path(str(self.pem))

    def issue(self, name: str, identity: str = HOST) -> Pair:
        leaf = self.made.issue_cert(identity)
        pair = Pair(self.directory / f"{name}.crt", self.directory / f"{name}.key")
        pair.key.write_bytes(leaf.private_key_pem.bytes())
        pair.cert.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        return pair

    def context(self, client: Pair | None = None) -> ssl.SSLContext:
        """For a client that trusts this CA alone."""
        context = ssl.create_default_context(cafile=self.pem)
        if client:
            context.load_cert_chain(*client)
        return context


def replace(path: Path, content: bytes | str) -> None:
    """As secret stores do it: the file is whole at every moment."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_bytes(content.encode() if isinstance(content, str) else content)
    fresh.replace(path)


def put(new: Pair, old: Pair) -> None:
    """Another certificate and key in place of a pair's."""
    replace(old.key, new.key.read_bytes())
    replace(old.cert, new.cert.read_bytes())
