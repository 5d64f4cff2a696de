"""Pages that join all rooms: the dashboard, operations of every kind, API keys. A room's own pages are in its `views`."""
