"""The portal's own condition: whether it takes work, and when it was last copied."""
from django.db import models
from django.db.models import Q


class PortalState(models.Model):
    """One row, or none for a portal that works as usual. Maintenance and the commands around backups write it."""

    ONLY = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ONLY, editable=False)
    draining_since = models.DateTimeField(null=True)
    reason = models.CharField(max_length=200, blank=True)
    backup_at = models.DateTimeField(null=True, help_text="When the newest backup was begun.")
    backup_bytes = models.PositiveBigIntegerField(default=0)
    restored_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="portal_state_once")]

    def __str__(self) -> str:
        return "draining" if self.draining_since else "working"
