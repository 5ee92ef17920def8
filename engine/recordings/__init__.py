"""Recorded telemetry and series, read for backtests and `burnline detect`."""
