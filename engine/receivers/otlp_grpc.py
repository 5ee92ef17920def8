"""OTLP/gRPC: https://opentelemetry.io/docs/specs/otlp/#otlpgrpc."""

from collections.abc import Callable, Coroutine
from typing import Any

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from engine.access.credentials import Token
from engine.access.guard import GrpcGuard
from engine.access.tls import ServerTls
from engine.columns.accepting import Sent
from engine.receivers.holding import Hold, Refusal
from engine.receivers.ingest import Ingest, answer
from engine.receivers.limits import Limits
from engine.receivers.turns import Turns

_PREFIX = "/opentelemetry.proto.collector."
METHODS: dict[str, Sent] = {
    f"{_PREFIX}trace.v1.TraceService/Export": "traces",
    f"{_PREFIX}metrics.v1.MetricsService/Export": "metrics",
    f"{_PREFIX}logs.v1.LogsService/Export": "logs",
}
_CODES = {
    "invalid": grpc.StatusCode.INVALID_ARGUMENT,
    "unauthenticated": grpc.StatusCode.UNAUTHENTICATED,
    "too_large": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "slow": grpc.StatusCode.DEADLINE_EXCEEDED,
    "busy": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "full": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "unavailable": grpc.StatusCode.UNAVAILABLE,
}
# A connection that a client certificate let in shows it anew after this: by then its CA may be withdrawn.
CLIENT_SECONDS = 600
Context = Any  # grpc comes without types


def status_details(code: grpc.StatusCode, refusal: Refusal) -> bytes:
    """`google.rpc.Status` with `RetryInfo`, which alone makes RESOURCE_EXHAUSTED worth a retry."""
    status = Status(code=code.value[0], message=str(refusal))
    if refusal.retry_after is not None:
        info = RetryInfo()
        info.retry_delay.seconds = refusal.retry_after
        packed = AnyMessage()
        packed.Pack(info)
        status.details.append(packed)
    return bytes(status.SerializeToString())


class _Services(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc comes without types
    """Payloads stay bytes: nothing is deserialised before the check.

    The methods are unary, but served as streams of requests: so a message is read when its turn
    comes, and not as soon as gRPC hears of it.
    """

    def __init__(self, ingest: Ingest) -> None:
        self.ingest = ingest
        self.turns = Turns(ingest.limits)

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler | None:
        method = handler_call_details.method
        signal = METHODS.get(method)
        if signal is not None:
            return grpc.stream_unary_rpc_method_handler(self._export(signal))
        return None

    def _export(self, signal: Sent) -> Callable[[object, Context], Coroutine[Any, Any, bytes]]:
        async def export(_requests: object, context: Context) -> bytes:
            try:
                with self.ingest.memory.holding() as hold:
                    try:
                        body = await self._read(context, hold)
                        hold(len(body))
                    except Refusal as refusal:
                        raise self.ingest.refused(signal, "grpc", refusal) from None
                    headers = dict(context.invocation_metadata() or ())
                    accepted = await self.ingest.accept(signal, "grpc", body, headers=headers)
            except Refusal as refusal:
                code = _CODES[refusal.reason]
                details = (("grpc-status-details-bin", status_details(code, refusal)),)
                await context.abort(code, str(refusal), details)
            return answer(signal, accepted).SerializeToString()

        return export

    async def _read(self, context: Context, hold: Hold) -> bytes:
        async with self.turns.turn(hold):
            body: bytes = await context.read()
        if body is grpc.aio.EOF:
            raise Refusal("invalid", "the call ended without a message")
        return body


def _refused(ingest: Ingest) -> Callable[[str], None]:
    def refused(method: str) -> None:
        if signal := METHODS.get(method):
            ingest.refused(signal, "grpc", Refusal("unauthenticated", ""))

    return refused


def _options(limits: Limits, max_payload: int) -> list[tuple[str, int]]:
    """What gRPC is told of the limits; it closes what breaks them by itself."""
    seconds = 1000
    return [
        # Without this two servers would share a port and each get half of the data.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", min(max_payload, limits.message)),
        ("grpc.max_allowed_incoming_connections", limits.connections),
        ("grpc.max_concurrent_streams", limits.streams),
        ("grpc.max_metadata_size", limits.metadata),
        ("grpc.absolute_max_metadata_size", limits.metadata),
        ("grpc.server_handshake_timeout_ms", int(limits.head_seconds * seconds)),
        ("grpc.max_connection_idle_ms", int(limits.idle_seconds * seconds)),
        # A client that has gone without a word is found by a ping.
        ("grpc.keepalive_time_ms", int(limits.idle_seconds * seconds) // 2),
        ("grpc.keepalive_timeout_ms", int(limits.answer_seconds * seconds)),
        # A message is let in as far as is asked for, not as far as the line could bear.
        ("grpc.http2.bdp_probe", 0),
    ]


async def serve(
    ingest: Ingest, address: str, token: Token | None = None, tls: ServerTls | None = None
) -> tuple[grpc.aio.Server, int]:
    """Listen on `HOST:PORT`, port 0 for a free one.

    Args:
        ingest: takes the payloads.
        address: where.
        token: what clients must send; None for nothing.
        tls: certificate and clients' CA; None for no TLS.

    Returns:
        The server, started, and its port.

    Raises:
        OSError: the address can't be had.
    """
    options = _options(ingest.limits, ingest.max_payload)
    if tls is not None and tls.demands_clients:
        options.append(("grpc.max_connection_age_ms", CLIENT_SECONDS * 1000))
    server = grpc.aio.server(
        interceptors=[] if token is None else [GrpcGuard(token, ingest.metrics, _refused(ingest))],
        options=options,
        compression=grpc.Compression.NoCompression,
    )
    server.add_generic_rpc_handlers((_Services(ingest),))
    try:
        port = (
            server.add_insecure_port(address)
            if tls is None
            else server.add_secure_port(address, tls.grpc_credentials())
        )
    except RuntimeError as error:
        raise OSError(f"{address} can't be listened on: {error}") from error
    if not port:
        raise OSError(f"{address} can't be listened on")
    await server.start()
    return server, port
