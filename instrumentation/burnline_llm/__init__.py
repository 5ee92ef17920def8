"""Traces, metrics, logs, cost and profiles of an application's LLM calls.

    import burnline_llm as llm

    llm.setup(service="chat-gateway")

    @llm.observe(provider="openai", model="gpt-4o")
    def answer(question): ...

Names are loaded when first used, so that `burnline_llm.prices` alone loads no OpenTelemetry.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from burnline_llm._attribution import attributed as attributed
    from burnline_llm._attribution import extract as extract
    from burnline_llm._attribution import inject as inject
    from burnline_llm._calls import Call as Call
    from burnline_llm._calls import batch as batch
    from burnline_llm._calls import call as call
    from burnline_llm._calls import current as current
    from burnline_llm._calls import embeddings as embeddings
    from burnline_llm._custom import counter as counter
    from burnline_llm._custom import gauge as gauge
    from burnline_llm._custom import histogram as histogram
    from burnline_llm._evaluations import evaluation as evaluation
    from burnline_llm._logs import add_trace_ids as add_trace_ids
    from burnline_llm._logs import get_logger as get_logger
    from burnline_llm._observe import observe as observe
    from burnline_llm._profiles import profile_llm_call as profile_llm_call
    from burnline_llm._setup import Telemetry as Telemetry
    from burnline_llm._setup import setup as setup
    from burnline_llm._steps import agent as agent
    from burnline_llm._steps import retrieval as retrieval
    from burnline_llm._steps import tool as tool
    from burnline_llm._steps import workflow as workflow

_HOMES = {
    "_attribution": ("attributed", "extract", "inject"),
    "_calls": ("Call", "batch", "call", "current", "embeddings"),
    "_custom": ("counter", "gauge", "histogram"),
    "_evaluations": ("evaluation",),
    "_logs": ("add_trace_ids", "get_logger"),
    "_observe": ("observe",),
    "_profiles": ("profile_llm_call",),
    "_setup": ("Telemetry", "setup"),
    "_steps": ("agent", "retrieval", "tool", "workflow"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [  # noqa: PLE0604 - names of a literal table
    *_HOME
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
