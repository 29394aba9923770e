"""The HTTP service: its jobs and their store, worker processes, routes, and the page.

Needs the extra ``serve``. Others import ``Configuration`` from configuration.py, which loads
nothing of it, and ``serve`` from server.py, which does; modules here import each other.
"""
