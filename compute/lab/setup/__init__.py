"""What `make` runs before anything is installed: packages, virtual environment, PostgreSQL, Redis, supervisor.

Only Python's standard library may be imported here, and nothing of the portal: it runs on a machine's own python3,
before `.venv` exists. What needs Django is called as `manage.py …` in the stage's environment.

A *stage* is one set of running services with its own directory: `run` (make run) and `test` (make test) live side by
side, each with its own ports, keys, data and lab.
"""
