"""Pages of instances (`instances`, `creating`), SSH keys and volumes: fetch through access, form, operation, answer."""
