from .audit import AuditChain, AuditEvent
from .idempotency import IdempotencyKey
from .operation import Hold, Operation
from .places import Region, Zone
from .portal_state import PortalState
from .resource import Resource, ResourceQuerySet

__all__ = ["AuditChain", "AuditEvent", "Hold", "IdempotencyKey", "Operation", "PortalState", "Region", "Resource",
           "ResourceQuerySet", "Zone"]
