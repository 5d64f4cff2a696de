"""REST of locks: what is asked when an instance is locked, and to whom it is told by whom it was. The actions are in `api`."""
from typing import Any
from uuid import UUID

from rest_framework import serializers

from compute.instances.guarding import LONGEST_REASON
from portal.kernel.rest.serializers import StrictSerializer


class LockSerializer(StrictSerializer):
    example = {"reason": "production; ask ops first"}
    reason = serializers.CharField(max_length=LONGEST_REASON, required=False, allow_blank=True)


def locked_by(instance: Any, user: Any) -> UUID | None:
    """Who locked it; which operator it was is for administrators only."""
    return None if instance.is_locked_by_operator and not user.grants.sees_everything else instance.locked_by_id
