"""Bearer tokens, and what the engine shows to servers that it sends to."""

import hmac
import re
from pathlib import Path
from ssl import PROTOCOL_TLS_CLIENT, SSLContext, TLSVersion

from engine.access.rotation import CredentialsError, Reloaded, Told, read_file
from engine.access.tls import load_pair, trust
from engine.telemetry.masking import keep_secret

_TOKEN = re.compile(rb"[!-~]+")


class Token:
    """A bearer token; made by `Token.open`.

    A file may hold several, one a line, for a change without a gap: each is accepted, the first is sent.

    Args:
        tokens: what it accepts, fixed or kept up to date with a file.
    """

    def __init__(self, tokens: tuple[bytes, ...] | Reloaded[tuple[bytes, ...]]) -> None:
        self._tokens = tokens

    @staticmethod
    def open(name: str, path: Path | None, value: str | None, told: Told) -> "Token | None":
        """The token of an option `--NAME-file` or of its variable; None where neither is given.

        Args:
            name: `otlp-token` for `--otlp-token-file` and `BURNLINE_OTLP_TOKEN`.
            path: the option's value.
            value: the variable's.
            told: hears of each reading of the file.

        Raises:
            CredentialsError: both are given, or what is given holds no token.
        """
        option, variable = f"--{name}-file", f"BURNLINE_{name.upper().replace('-', '_')}"
        if path is not None and value is not None:
            raise CredentialsError(f"{option} and {variable} are both set; drop one")
        if value is not None:
            return Token(_parse(variable, value.encode("utf-8", "surrogateescape")))
        if path is None:
            return None

        def read() -> tuple[bytes, ...]:
            return _parse(f"{option} {path}", read_file(option, path))

        return Token(Reloaded(name, [path], read, told))

    def accepts(self, authorization: str) -> bool:
        """Whether an `Authorization` header has one of the tokens."""
        scheme, _, rest = authorization.partition(" ")
        given = rest.strip().encode("utf-8", "surrogateescape")
        # All are compared, in a time that does not tell how much of one is right.
        right = [hmac.compare_digest(given, token) for token in self._newest()]
        return scheme.lower() == "bearer" and any(right)

    def header(self) -> str:
        """The `Authorization` header to send."""
        return f"Bearer {self._newest()[0].decode()}"

    def _newest(self) -> tuple[bytes, ...]:
        return self._tokens.get() if isinstance(self._tokens, Reloaded) else self._tokens


class Outgoing:
    """What the engine shows to the servers of one kind, and whom it takes for them.

    Ask at each request: files may have changed since the last.

    Args:
        token: sent as a bearer token.
        tls: made from a CA and a client certificate; None for the system's CAs and no certificate.
    """

    def __init__(self, token: Token | None = None, tls: Reloaded[SSLContext] | None = None) -> None:
        self._token = token
        self._tls = tls

    @staticmethod
    def open(
        name: str,
        told: Told,
        *,
        token_file: Path | None = None,
        token: str | None = None,
        ca: Path | None = None,
        cert: Path | None = None,
        key: Path | None = None,
    ) -> "Outgoing":
        """Read what the options of one kind of server name.

        Args:
            name: of the options, `alertmanager` for `--alertmanager-token-file`, `--alertmanager-ca`,
                `--alertmanager-cert`, `--alertmanager-key` and `BURNLINE_ALERTMANAGER_TOKEN`.
            told: hears of each reading of the files.
            token_file: the token's file.
            token: the token itself, from the environment.
            ca: certificates to trust instead of the system's.
            cert: the client certificate.
            key: its key.

        Raises:
            CredentialsError: something can't be used, or is only half of a pair.
        """
        check_pair(f"--{name}-cert", cert, f"--{name}-key", key)
        paths = [path for path in (ca, cert, key) if path is not None]

        def read() -> SSLContext:
            context = SSLContext(PROTOCOL_TLS_CLIENT)
            context.minimum_version = TLSVersion.TLSv1_2
            if ca is None:
                context.load_default_certs()
            else:
                trust(context, f"--{name}-ca", ca)
            if cert is not None and key is not None:
                load_pair(context, name, cert, key)
            return context

        return Outgoing(
            Token.open(f"{name}-token", token_file, token, told),
            Reloaded(f"{name}-tls", paths, read, told) if paths else None,
        )

    @property
    def has_token(self) -> bool:
        """Whether a token is sent."""
        return self._token is not None

    def headers(self) -> dict[str, str]:
        """`Authorization`, or nothing."""
        return {} if self._token is None else {"Authorization": self._token.header()}

    def ssl(self) -> SSLContext | bool:
        """For aiohttp's `ssl`: True where nothing is set."""
        return True if self._tls is None else self._tls.get()


def check_pair(cert_option: str, cert: Path | None, key_option: str, key: Path | None) -> None:
    """See that a certificate has its key.

    Raises:
        CredentialsError: one is given without the other.
    """
    if (cert is None) != (key is None):
        given, missing = (cert_option, key_option) if key is None else (key_option, cert_option)
        raise CredentialsError(f"{given} needs {missing} beside it; give both")


def _parse(place: str, content: bytes) -> tuple[bytes, ...]:
    tokens = []
    for number, line in enumerate(content.splitlines(), 1):
        token = line.strip()
        if not token or token.startswith(b"#"):
            continue
        if not _TOKEN.fullmatch(token):
            raise CredentialsError(
                f"{place}, line {number}: a token has no spaces and only ASCII; write one a line"
            )
        keep_secret(token.decode())
        tokens.append(token)
    if not tokens:
        raise CredentialsError(f"{place} holds no token; write one, or leave it out")
    return tuple(tokens)
