"""Random protobuf messages of any type, with what is at the edge of each field's type."""

import random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor as Kind
from google.protobuf.message import Message

from tests.fuzz.mutation import HOSTILE

NAMES = (
    "service.name", "chat-api", "gen_ai.request.model", "llm.model_name", "tenant.id", "tenant", "k", "",
    "gen_ai.operation.name", "chat", "m1", "acme", "model", "status", "ok", "error", "error.type",
    "llm.requests", "llm_requests_total", "gen_ai.client.operation.duration", "s", "1", "By/s", "{x}",
)  # fmt: skip
_TIMES = (0, 1, 1_700_000_000 * 10**9, 2**63 - 1, 2**63, 2**64 - 1)
_FLOATS = (
    0.0,
    -0.0,
    1.5,
    -1.0,
    5e-324,
    1.8e308,
    float("inf"),
    float("-inf"),
    float("nan"),
    2.0**63,
)


def random_message(
    random_: random.Random, message: Message, now_ns: int, depth: int = 0
) -> Message:
    """The message, filled in."""
    for field in message.DESCRIPTOR.fields:
        # The way down is taken mostly, the rest sometimes.
        likely = 0.9 if depth < 5 else 0.4 if depth < 9 else 0.0
        if random_.random() > (likely if field.message_type else 0.5):
            continue
        if field.is_repeated:
            held = getattr(message, field.name)
            for _ in range(random_.choice((0, 1, 1, 2, 3))):
                if field.message_type:
                    random_message(random_, held.add(), now_ns, depth + 1)
                else:
                    held.append(_scalar(random_, field, now_ns))
        elif field.message_type:
            held = getattr(message, field.name)
            held.SetInParent()
            random_message(random_, held, now_ns, depth + 1)
        else:
            setattr(message, field.name, _scalar(random_, field, now_ns))
    return message


def _scalar(random_: random.Random, field: Any, now_ns: int) -> Any:
    match field.type:
        case Kind.TYPE_STRING:
            edges: Any = NAMES if random_.random() < 0.8 else HOSTILE
        case Kind.TYPE_BYTES:
            edges = (b"", random_.randbytes(8), random_.randbytes(16), random_.randbytes(17))
        case Kind.TYPE_BOOL:
            edges = (False, True)
        case Kind.TYPE_DOUBLE | Kind.TYPE_FLOAT:
            edges = _FLOATS
        case Kind.TYPE_FIXED64 | Kind.TYPE_UINT64:
            near = now_ns - random_.choice((0, 10**9, 10**11, 10**14))
            edges = (near, near, random_.choice(_TIMES), random_.randrange(300))
        case Kind.TYPE_INT64 | Kind.TYPE_SFIXED64 | Kind.TYPE_SINT64:
            edges = (0, 1, 7, -1, 2**63 - 1, -(2**63))
        case Kind.TYPE_UINT32 | Kind.TYPE_FIXED32:
            edges = (0, 1, 2**32 - 1)
        case Kind.TYPE_ENUM:
            edges = (0, 1, 2, 2, 3, 99, -1)
        case _:
            edges = (0, 1, -1, 2**31 - 1, -(2**31), 20)
    return random_.choice(edges)
