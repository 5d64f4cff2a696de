"""Snapshots of whole instances: what was on all their volumes at one moment, and in their memory where that was asked for. They
are a tree; `taking` and `reverting` say what they want, `steps` and `kinds` how it is done. The volumes keep them inside
(`storage.snapshots`), and a hypervisor takes those of what runs.
"""
