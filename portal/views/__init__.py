"""Pages that join all rooms: the dashboard, operations, API keys. A room's own pages are in its `views`."""
