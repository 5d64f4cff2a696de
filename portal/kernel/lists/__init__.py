"""What a list page is made of: columns, filters in the address, keyset pages, CSV. No view and no access here.

`tenants.lists` puts a page together from these; a room declares one `Listing` per page and nothing else.
"""
from .columns import Column, Empty
from .filters import Choice, Day, Exact, Filter, Month, RowChoice, Tags, Text, row_choices
from .paging import Keys, keys

__all__ = ["Choice", "Column", "Day", "Empty", "Exact", "Filter", "Keys", "Month", "RowChoice", "Tags", "Text", "keys",
           "row_choices"]
