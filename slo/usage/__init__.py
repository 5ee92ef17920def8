"""What model calls used: requests, errors, seconds, tokens and dollars, counted for ever. Pure."""
