"""OTLP/gRPC: https://opentelemetry.io/docs/specs/otlp/#otlpgrpc."""

from collections.abc import Callable, Coroutine
from typing import Any

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from engine.ingest import Ingest, Refusal, answer
from engine.spool import Signal

_PREFIX = "/opentelemetry.proto.collector."
METHODS: dict[str, Signal] = {
    f"{_PREFIX}trace.v1.TraceService/Export": "traces",
    f"{_PREFIX}metrics.v1.MetricsService/Export": "metrics",
}
_LOGS = f"{_PREFIX}logs.v1.LogsService/Export"
_CODES = {
    "invalid": grpc.StatusCode.INVALID_ARGUMENT,
    "too_large": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "busy": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "full": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "unavailable": grpc.StatusCode.UNAVAILABLE,
}
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
    """Payloads stay bytes: nothing is deserialised before the check."""

    def __init__(self, ingest: Ingest) -> None:
        self.ingest = ingest

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler | None:
        method = handler_call_details.method
        signal = METHODS.get(method)
        if signal is not None:
            return grpc.unary_unary_rpc_method_handler(self._export(signal))
        if method == _LOGS:
            return grpc.unary_unary_rpc_method_handler(_no_logs)
        return None

    def _export(self, signal: Signal) -> Callable[[bytes, Context], Coroutine[Any, Any, bytes]]:
        async def export(body: bytes, context: Context) -> bytes:
            try:
                with self.ingest.holding() as hold:
                    try:
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


async def _no_logs(_body: bytes, context: Context) -> None:
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Burnline takes traces and metrics, no logs")


async def serve(ingest: Ingest, address: str) -> tuple[grpc.aio.Server, int]:
    """Listen on `HOST:PORT`, port 0 for a free one.

    Returns:
        The server, started, and its port.

    Raises:
        OSError: the address can't be had.
    """
    options = [
        # Without this two servers would share a port and each get half of the data.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", ingest.max_payload),
    ]
    server = grpc.aio.server(options=options, compression=grpc.Compression.NoCompression)
    server.add_generic_rpc_handlers((_Services(ingest),))
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(f"{address} can't be listened on: {error}") from error
    if not port:
        raise OSError(f"{address} can't be listened on")
    await server.start()
    return server, port
