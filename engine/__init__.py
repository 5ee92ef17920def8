"""Machinery: receivers, spool, columns, `/metrics`, Alertmanager; everything that does I/O."""
