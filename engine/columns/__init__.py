"""From OTLP's bytes to columns, points and counts; content is blanked on the way."""
