"""Every figure that the README claims, measured beside its peer: `make bench`."""
