"""How far one process goes, what more of them bring, and a cluster on paper: `make bench-scale`."""
