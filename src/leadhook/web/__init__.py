"""The HTTP side: one plain handler per request, and the table of routes in `site`. The only door to Starlette."""
