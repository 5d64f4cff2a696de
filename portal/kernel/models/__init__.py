from .audit import AuditEvent
from .idempotency import IdempotencyKey
from .operation import Hold, Operation
from .places import Region, Zone
from .resource import Resource, ResourceQuerySet

__all__ = ["AuditEvent", "Hold", "IdempotencyKey", "Operation", "Region", "Resource", "ResourceQuerySet", "Zone"]
