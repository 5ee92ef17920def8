"""What the Prometheus operator documents of the fields that the chart writes, as JSON Schema.

Its own definitions are some hundred kilobytes; a field that is new to the chart is added here.
"""

from typing import Any


def _object(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": properties,
    }


_TEXT = {"type": "string", "minLength": 1}
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_DURATION = {"type": "string", "pattern": "^([0-9]+(ms|s|m|h|d|w|y))+$"}
_KEY = _object(("key",), name=_TEXT, key=_TEXT)
_KEY_OF_EITHER = _object(secret=_KEY, configMap=_KEY)
_METADATA = _object(("name",), name=_TEXT, labels=_TEXTS)

POD_MONITOR = _object(
    ("apiVersion", "kind", "metadata", "spec"),
    apiVersion={"const": "monitoring.coreos.com/v1"},
    kind={"const": "PodMonitor"},
    metadata=_METADATA,
    spec=_object(
        ("selector",),
        selector=_object(matchLabels=_TEXTS),
        podMetricsEndpoints={
            "type": "array",
            "items": _object(
                port=_TEXT,
                path=_TEXT,
                interval=_DURATION,
                scheme={"enum": ["http", "https"]},
                tlsConfig=_object(
                    ca=_KEY_OF_EITHER, cert=_KEY_OF_EITHER, keySecret=_KEY, serverName=_TEXT
                ),
                authorization=_object(type=_TEXT, credentials=_KEY),
                relabelings={
                    "type": "array",
                    "items": _object(
                        action={"enum": ["replace"]},
                        sourceLabels={"type": "array", "items": _TEXT},
                        targetLabel=_TEXT,
                        replacement={"type": "string"},
                    ),
                },
            ),
        },
    ),
)

PROMETHEUS_RULE = _object(
    ("apiVersion", "kind", "metadata", "spec"),
    apiVersion={"const": "monitoring.coreos.com/v1"},
    kind={"const": "PrometheusRule"},
    metadata=_METADATA,
    spec=_object(
        groups={
            "type": "array",
            "items": _object(
                ("name",),
                name=_TEXT,
                rules={
                    "type": "array",
                    "items": _object(
                        ("expr",),
                        alert=_TEXT,
                        expr=_TEXT,
                        **{"for": _DURATION},
                        labels=_TEXTS,
                        annotations=_TEXTS,
                    ),
                },
            ),
        }
    ),
)
