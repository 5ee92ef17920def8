"""The wiring: the Bytewax flow, what runs it live or over recordings, and the command line."""
