"""Answers already given, so that a repeated POST gets the same one for 24 hours."""
from django.db import models


class IdempotencyKey(models.Model):
    """One caller's key on one method and path, with the answer it got. Written in the transaction of the change."""

    caller = models.CharField(max_length=80)
    method = models.CharField(max_length=8)
    path = models.CharField(max_length=300)
    key = models.CharField(max_length=200)
    body_hash = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True)
    answer = models.JSONField(null=True)
    location = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["caller", "method", "path", "key"], name="idempotency_key_once")]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"
