"""What a viewset may declare instead of a permission's name. Importable before DRF's settings are read."""

SIGNED_IN = "signed-in"
"""Any signed-in user; what they see is `visible_to`'s business."""
STAFF = "staff"
"""Superusers; everybody else gets the answer of an absent path (404)."""
NOT_PERMISSIONS = frozenset({SIGNED_IN, STAFF})
