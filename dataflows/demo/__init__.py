"""`burnline demo`: made-up traffic through a real engine, and what it makes of it."""
