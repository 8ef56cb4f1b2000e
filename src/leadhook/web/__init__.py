"""The HTTP side: webhooks come in, admins ask, platforms look. The only door to starlette."""
