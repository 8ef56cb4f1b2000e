"""What the command line asks of a running service over HTTP, from wherever the operator sits."""
