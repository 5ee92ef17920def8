"""How well and how fast anomalies are found, beside others, on labelled series: `make bench-detection`."""
