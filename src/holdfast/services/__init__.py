"""Ready-made services on the faces below."""
