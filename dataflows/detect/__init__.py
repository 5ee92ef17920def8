"""`burnline detect`: anomalies in recorded series, row by row."""
