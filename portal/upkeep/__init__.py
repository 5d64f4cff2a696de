"""Keeping the portal itself: backup, restore, retention. Commands and clocks call these; no page lives here."""
