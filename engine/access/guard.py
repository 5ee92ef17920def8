"""Who may come in: bearer tokens and client certificates at each listener."""

import ipaddress
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
from aiohttp import web
from aiohttp.typedefs import Middleware
from yarl import URL

from engine.access.credentials import Outgoing, Token
from engine.access.tls import Listener, ServerTls
from engine.telemetry.log import log
from engine.telemetry.metrics import EngineMetrics

CHALLENGE = {"WWW-Authenticate": "Bearer"}
PROBES = frozenset({"/healthz", "/readyz"})
NO_TOKEN = "a bearer token is required: send the header `Authorization: Bearer TOKEN`"  # noqa: S105  a message
WRONG_TOKEN = "the bearer token is not one of those that are accepted"  # noqa: S105  a message
NO_CERTIFICATE = "a client certificate is required"
Context = Any  # grpc comes without types
Refuse = Callable[[web.Request, int, str], web.Response]


class Guard:
    """Of one HTTP listener.

    Args:
        listener: its name in metrics.
        metrics: counts whom it turned away.
        token: what clients must send; None for nothing.
        tls: the listener's; None for plain HTTP.
        open_to_all: paths that need neither a token nor a certificate.
    """

    def __init__(
        self,
        listener: Listener,
        metrics: EngineMetrics,
        token: Token | None = None,
        tls: ServerTls | None = None,
        open_to_all: frozenset[str] = frozenset(),
    ) -> None:
        self.listener = listener
        self.token = token
        self.tls = tls
        self.open_to_all = open_to_all
        self._turned_away = metrics.unauthenticated.labels(listener)

    def middleware(self, refuse: Refuse) -> Middleware:
        """Stands before an application's handlers, and so before the body is read.

        Args:
            refuse: makes the answer from a request, a status, and why.
        """

        @web.middleware
        async def guard(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            status, why = self._verdict(request)
            if why:
                self._turned_away.inc()
                answer: web.StreamResponse = refuse(request, status, why)
            else:
                answer = await handler(request)
            if self._outdated(request):
                answer.force_close()
            return answer

        return guard

    def _verdict(self, request: web.Request) -> tuple[int, str]:
        if request.path in self.open_to_all:
            return 200, ""
        if self.tls is not None and self.tls.demands_clients and not _of(request, "peercert"):
            return 403, NO_CERTIFICATE
        if self.token is None:
            return 200, ""
        given = request.headers.get("Authorization", "")
        if self.token.accepts(given):
            return 200, ""
        return 401, WRONG_TOKEN if given else NO_TOKEN

    def _outdated(self, request: web.Request) -> bool:
        """Whether the connection was let in by files that have been replaced."""
        if self.tls is None:
            return False
        secured = _of(request, "ssl_object")
        return secured is not None and secured.context is not self.tls.newest(self.listener)


def _of(request: web.Request, name: str) -> Any:  # noqa: ANN401  asyncio's extra information is of any type
    return None if request.transport is None else request.transport.get_extra_info(name)


class GrpcGuard(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc comes without types
    """Turns calls without a right token away before their message is read.

    Args:
        token: what clients must send.
        metrics: counts whom it turned away.
        refused: hears the method of each.
    """

    def __init__(
        self, token: Token, metrics: EngineMetrics, refused: Callable[[str], None]
    ) -> None:
        self.token = token
        self._turned_away = metrics.unauthenticated.labels("otlp_grpc")
        self._refused = refused

    async def intercept_service(
        self,
        continuation: Callable[[Context], Awaitable[grpc.RpcMethodHandler | None]],
        handler_call_details: Context,
    ) -> grpc.RpcMethodHandler | None:
        """The method's handler, or one that refuses."""
        metadata = dict(handler_call_details.invocation_metadata or ())
        given = metadata.get("authorization", "")
        if self.token.accepts(given):
            return await continuation(handler_call_details)
        self._turned_away.inc()
        self._refused(handler_call_details.method)
        why = WRONG_TOKEN if given else NO_TOKEN

        async def refuse(_requests: object, context: Context) -> None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, why)

        # A stream of requests is read only when it is asked for; a unary one would be read first.
        return grpc.stream_unary_rpc_method_handler(refuse)


def warn_if_open(
    option: str, address: str, token_option: str, token: Token | None, tls: ServerTls | None
) -> None:
    """Say where others than this machine can come in unasked, or can read along.

    Args:
        option: of the address.
        address: HOST:PORT that is listened on.
        token_option: how it is closed.
        token: what clients must send.
        tls: the listener's.
    """
    host = address.rpartition(":")[0].strip("[]")
    if _is_loopback(host):
        return
    if token is None and (tls is None or not tls.demands_clients):
        log.warning(
            f"anyone who reaches {option} is let in; give {token_option}, or --tls-client-ca, or "
            "listen on 127.0.0.1",
            address=address,
        )
    elif tls is None:
        log.warning(
            f"tokens and data come in the clear to {option}; give --tls-cert and --tls-key, or "
            "listen on 127.0.0.1",
            address=address,
        )


def warn_if_in_the_clear(option: str, url: str, outgoing: Outgoing) -> None:
    """Say where a token would be sent unencrypted to another machine."""
    where = URL(url)
    if outgoing.has_token and where.scheme == "http" and not _is_loopback(where.host or ""):
        log.warning(f"the token is sent in the clear; write https:// in {option}", host=where.host)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
