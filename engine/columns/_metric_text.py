"""OTLP attributes as text (labels) and as canonical bytes (identities)."""

import base64
import hashlib
import json
import math
from collections.abc import Iterable, Mapping

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

IDENTITY_BYTES = 16


def texts(attributes: Iterable[KeyValue]) -> dict[str, str]:
    """Attributes as text, by key; of a repeated key the last stands."""
    return {pair.key: text(pair.value) for pair in attributes}


def text(value: AnyValue) -> str:
    """A value as text.

    Strings stay as they are, numbers and booleans are JSON's, bytes base64, arrays and maps JSON,
    an empty value the empty text (specification: "AnyValue representation for non-OTLP protocols").
    """
    plain = _plain(value)
    if isinstance(plain, str):
        return plain
    return "" if plain is None else json.dumps(plain, separators=(",", ":"), ensure_ascii=False)


def identity(*parts: bytes) -> bytes:
    """16 bytes that are the same for the same parts in every process."""
    digest = hashlib.blake2b(digest_size=IDENTITY_BYTES)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()


def attributes_identity(attributes: Iterable[KeyValue]) -> bytes:
    """16 bytes for a set of attributes in any order; of a repeated key the last stands."""
    last: Mapping[str, bytes] = {
        pair.key: pair.value.SerializeToString(deterministic=True) for pair in attributes
    }
    return identity(*(part for key in sorted(last) for part in (key.encode(), last[key])))


def _plain(value: AnyValue) -> object:  # noqa: PLR0911 - one return a kind of value
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "int_value":
            return value.int_value
        case "double_value":
            return _number(value.double_value)
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case "array_value":
            return [_plain(item) for item in value.array_value.values]
        case "kvlist_value":
            return {pair.key: _plain(pair.value) for pair in value.kvlist_value.values}
    return None


def _number(value: float) -> float | str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value
