"""The REST side of every room: errors as problem+json, strict input, keyset lists, idempotency, ETags, OpenAPI.

Rooms subclass `views.RoomViewSet` in their own `api.py`; nothing here knows a room. What clients may rely on is the
published contract; a change here that clients notice is a breaking change.
"""
