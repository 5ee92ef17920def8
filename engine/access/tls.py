"""TLS of the listeners: one certificate for all three, renewed without a restart.

With a CA for clients, the receivers end a handshake without a certificate of that CA. The pages let it
through as far as `/healthz` and `/readyz`, since probes have none (`engine.access.guard` refuses the rest).
"""

import asyncio
import ssl
from pathlib import Path
from typing import Any, Literal, NamedTuple

import grpc

from engine.access.rotation import CredentialsError, Reloaded, read_file
from engine.telemetry.metrics import EngineMetrics

HANDSHAKE_SECONDS = 10.0
Listener = Literal["otlp_http", "listen"]
GrpcCredentials = Any  # grpc comes without types


class _Loaded(NamedTuple):
    contexts: dict[Listener, ssl.SSLContext]
    grpc: GrpcCredentials


class _Newest(ssl.SSLContext):
    """Stands for the newest context of a listener: every handshake takes place in that.

    A context whose certificate is replaced would still resume sessions of clients that the old CA
    let in; a new context knows no sessions.
    """

    tls: "ServerTls"
    listener: Listener

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:  # noqa: ANN401  as the base has it
        """Begin a handshake; asyncio calls this for each connection."""
        return self.tls.newest(self.listener).wrap_bio(*args, **kwargs)


class ServerTls:
    """Certificate, key and clients' CA of the listeners.

    Args:
        cert: the certificate and those between it and its CA, PEM.
        key: its private key, PEM, without a passphrase.
        client_ca: certificates that clients' certificates must be signed by; None to ask for none.
        metrics: the engine's own.

    Raises:
        CredentialsError: the files can't be used.
    """

    def __init__(
        self, cert: Path, key: Path, client_ca: Path | None, metrics: EngineMetrics
    ) -> None:
        self._cert, self._key, self._client_ca = cert, key, client_ca
        self._metrics = metrics
        paths = [path for path in (cert, key, client_ca) if path is not None]
        self._files = Reloaded("tls", paths, self._load, metrics.credentials_read)
        self._given = self._files.get().grpc

    @property
    def demands_clients(self) -> bool:
        """Whether clients must have a certificate."""
        return self._client_ca is not None

    def newest(self, listener: Listener) -> ssl.SSLContext:
        """The context for a handshake now."""
        return self._files.get().contexts[listener]

    def context(self, listener: Listener) -> ssl.SSLContext:
        """A context for the listener's lifetime, which takes each handshake to the newest one."""
        standing = _Newest(ssl.PROTOCOL_TLS_SERVER)
        standing.tls, standing.listener = self, listener
        return standing

    def grpc_credentials(self) -> GrpcCredentials:
        """Credentials of one gRPC server, which asks for the newest files at each handshake."""
        return grpc.dynamic_ssl_server_credentials(
            self._given, self._newer, require_client_authentication=self.demands_clients
        )

    def _newer(self) -> GrpcCredentials | None:
        newest = self._files.get().grpc
        if newest is self._given:
            return None
        self._given = newest
        return newest

    def _load(self) -> _Loaded:
        chain = key = b""
        contexts: dict[Listener, ssl.SSLContext] = {}
        for listener in ("otlp_http", "listen"):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.options |= ssl.OP_NO_RENEGOTIATION
            context.set_alpn_protocols(["http/1.1"])
            context.sslobject_class = _counting(self._metrics, listener)
            chain, key = load_pair(context, "tls", self._cert, self._key)
            if self._client_ca is not None:
                trust(context, "--tls-client-ca", self._client_ca)
                pages = listener == "listen"
                context.verify_mode = ssl.CERT_OPTIONAL if pages else ssl.CERT_REQUIRED
            contexts[listener] = context
        roots = read_file("--tls-client-ca", self._client_ca) if self._client_ca else None
        return _Loaded(contexts, grpc.ssl_server_certificate_configuration([(key, chain)], roots))


class EventLoop(asyncio.SelectorEventLoop):
    """Gives clients less time for a handshake than asyncio's 60 s, which aiohttp has no setting for."""

    async def create_server(self, *args: Any, **kwargs: Any) -> asyncio.Server:  # noqa: ANN401  as the base has it
        """Listen."""
        if kwargs.get("ssl"):
            kwargs.setdefault("ssl_handshake_timeout", HANDSHAKE_SECONDS)
        listening: asyncio.Server = await super().create_server(*args, **kwargs)
        return listening


def load_pair(context: ssl.SSLContext, name: str, cert: Path, key: Path) -> tuple[bytes, bytes]:
    """Give a context its certificate and key; what the files hold.

    Args:
        context: takes them.
        name: of the options, `tls` for `--tls-cert` and `--tls-key`.
        cert: the certificate's file.
        key: the key's.

    Raises:
        CredentialsError: they can't be used.
    """
    cert_option, key_option = f"--{name}-cert", f"--{name}-key"
    chain, secret = read_file(cert_option, cert), read_file(key_option, key)
    if b"-----BEGIN CERTIFICATE-----" not in chain:
        raise CredentialsError(f"{cert_option} {cert} holds no certificate; give it in PEM")
    if b"PRIVATE KEY-----" not in secret:
        raise CredentialsError(f"{key_option} {key} holds no private key; give it in PEM")

    def no_passphrase() -> str:
        raise CredentialsError(
            f"{key_option} {key} is locked with a passphrase, and nobody is there to type it; give "
            "it without one, readable for the engine's user alone"
        )

    try:
        context.load_cert_chain(cert, key, no_passphrase)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise CredentialsError(
                f"{key_option} {key} is not the key of {cert_option} {cert}; give those that "
                "belong together, the certificate first in its file"
            ) from error
        raise CredentialsError(
            f"{cert_option} {cert} and {key_option} {key} can't be used ({error.reason}); give a "
            "certificate and its key in PEM"
        ) from error
    except OSError as error:  # gone since they were read
        raise CredentialsError(f"{cert_option} and {key_option}: {error.strerror}") from error
    return chain, secret


def trust(context: ssl.SSLContext, option: str, path: Path) -> None:
    """Let a context trust the certificates in a file.

    Raises:
        CredentialsError: there are none.
    """
    content = read_file(option, path)
    # An intermediate CA can be trusted for itself; gRPC does so, too.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(cadata=content.decode("ascii", "ignore"))
    except (ssl.SSLError, ValueError) as error:
        raise CredentialsError(
            f"{option} {path} holds no certificates; give them in PEM"
        ) from error


def _counting(metrics: EngineMetrics, listener: Listener) -> type[ssl.SSLObject]:
    failed = metrics.failed_handshakes.labels(listener)

    class Counting(ssl.SSLObject):
        """A connection whose failed handshake is counted."""

        def do_handshake(self) -> None:
            try:
                super().do_handshake()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise
            except ssl.SSLError:
                failed.inc()
                raise

    return Counting
