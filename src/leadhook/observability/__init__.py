"""What the service tells about itself, and what it never tells."""
