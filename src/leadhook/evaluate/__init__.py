"""Scores answered leads again with another prompt or model, and compares. Only the cost is stored in Postgres.

`results` is the file to which every purchase is appended, so that a second run buys nothing twice. `scoring` buys the
missing scores, within the service's pauses and budgets. `figures` compares, and `page` renders one HTML file.
"""
