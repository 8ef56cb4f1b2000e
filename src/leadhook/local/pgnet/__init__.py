"""STAND-IN for pg_net's background worker: sends what net.http_post queued, with the real worker's manners.

At most 200 requests at once, in one transaction with their responses; then a pause of a second; never a retry. The
first commit after the worker went to sleep wakes it at once, even out of its pause; those after it wait for its end.
"""
