"""The HTTP side: rings come in, admins ask, platforms look. The only door to starlette."""
