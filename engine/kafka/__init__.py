"""Kafka as a log: what a Collector's exporter writes is read as arrivals, alerts and what is unreadable are written."""
