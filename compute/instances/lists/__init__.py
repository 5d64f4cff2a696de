"""What each list page of this room shows: columns, filters, verbs on many rows. The pages are in `views`."""
