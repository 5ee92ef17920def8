"""Recorded telemetry, read for backtests."""
