"""The demo: two dozen sample leads, from the database's change to the saved answer, on a stack of the caller's."""
