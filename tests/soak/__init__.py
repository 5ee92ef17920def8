"""Burnline under faults, for as long as it takes: `python -m tests.soak kill|overload|disk`.

Short forms of all of these run as tests in `tests/end_to_end/test_soak_*.py`. The receiver is no process of
its own: whatever kills it kills the engine.
"""
