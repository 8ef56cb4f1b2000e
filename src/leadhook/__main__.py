"""`python -m leadhook` is `leadhook`."""

from leadhook.cli import main

main()
