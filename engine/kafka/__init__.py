"""Kafka as a log: what a Collector writes is read; alerts, and what is unreadable, are written."""
