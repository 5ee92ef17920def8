"""Who is let in, and what is shown to be let in elsewhere: tokens, certificates, TLS."""
