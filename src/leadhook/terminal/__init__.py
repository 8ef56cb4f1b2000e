"""Commands that ask the project through its API, as the service does, and talk to a person; they need no service."""
