"""API keys that are about to expire: their owners are told a week before, once, as long as it can be helped."""
from datetime import timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from portal.kernel import audit
from tenants.models import ApiKey

BEFORE = timedelta(days=7)
BATCH = 200


def tell() -> int:
    """Note in the trail, from where owners are told, which keys expire within the week; how many. Any number may do it at once.
    A key that was made for less than that is known to be short-lived."""
    now, count = timezone.now(), 0
    due = ApiKey.objects.filter(revoked_at=None, expiry_told_at=None, owner__is_active=True, expires_at__gt=now,
                                expires_at__lte=now + BEFORE, created_at__lt=F("expires_at") - BEFORE)
    for key in due.order_by("expires_at", "pk")[:BATCH]:
        with transaction.atomic():
            if ApiKey.objects.filter(pk=key.pk, expiry_told_at=None, revoked_at=None).update(expiry_told_at=now):
                audit.record("apikey.expiring", key, actor=None, after={
                    "name": key.name, "prefix": key.prefix, "expires_at": key.expires_at})
                count += 1
    return count
