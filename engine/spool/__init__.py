"""What is acknowledged is on disk; the flow reads it from here, by the engine's clock."""
