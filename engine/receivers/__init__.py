"""How a payload is accepted, and how much its sender may take."""
