"""Service-level objectives: the pure domain, without I/O and without Bytewax."""
