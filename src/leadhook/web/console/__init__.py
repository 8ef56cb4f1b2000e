"""The console: the operator's pages at /console, made on the server.

`routes` is the table of pages with the right that each needs. `visit` checks that right, reads forms and renders
templates. `sessions` knows who is signed in. Every action calls the function that the command line and the HTTP API
call; a page adds what is shown before the button.
"""
