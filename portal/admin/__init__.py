"""The site's administration as a whole: its sidebar and first page, operations explained with what all rooms know, and the
libraries' tables in the same dress. Each room's own pages are in its `admin.py`.
"""
from portal.admin import door, libraries, operations  # noqa: F401  (they register)
