"""Traces, metrics, logs, cost and profiles of an application's LLM calls."""
