"""Scores answered leads again with another prompt or model, and compares; nothing of it is kept in the database.

`results` is the file that everything bought is appended to, so that a second run buys nothing twice. `scoring` buys
what is missing under the service's pauses and budgets. `figures` compares, `page` draws it as one HTML file.
"""
