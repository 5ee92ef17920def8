"""Blanking content the plain way: by the official parser, message by message.

It redacts what the kernel leaves, and metrics with content in them, whose texts may change their length.
It is also what the kernel is measured against.
"""

from collections.abc import Callable

from google.protobuf.message import Message
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Status

Filler = Callable[[KeyValue], str]


def redact(message: Message, is_content: Callable[[str], bool], filler: Filler) -> int:
    """Blank content of a message and all below it; fields that nobody knows are left out.

    Args:
        message: changed in place.
        is_content: whether an attribute of this name holds content.
        filler: the text that takes a value's place.

    Returns:
        how many values were blanked.
    """
    message.DiscardUnknownFields()
    return _redact(message, is_content, filler)


def _redact(message: Message, is_content: Callable[[str], bool], filler: Filler) -> int:
    if isinstance(message, Status):
        had_text = bool(message.message)
        message.message = ""
        return int(had_text)
    if isinstance(message, KeyValue) and is_content(message.key):
        if not message.value.WhichOneof("value"):
            return 0
        message.value.string_value = filler(message)
        return 1
    count = 0
    for field, content in message.ListFields():
        if field.message_type:
            for below in content if field.is_repeated else (content,):
                count += _redact(below, is_content, filler)
    return count
