"""What `make` runs before anything is installed: packages, virtual environment, PostgreSQL, Redis, supervisor, order of steps.

Only Python's standard library may be imported here, and nothing of the portal: it runs on a machine's own python3, before
`.venv` exists. What needs Django is called as `manage.py …` in the stage's environment. `python3 compute/lab/setup help`.

A *stage* is one set of running services with its own directory: `run` (make run) and `test` (make test) live side by side.
"""
