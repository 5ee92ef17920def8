"""The engine's own: metrics, log, traces, and who watches what."""
