"""What the theme says on its own: it brings no translations, so its sentences stand here to be found and translated.

Nothing reads this tuple; the theme asks the same catalogue for the same words.
"""
from django.utils.translation import gettext_noop as _

WORDS = (
    _("Type to search"), _("Search apps and models..."), _("No results found"),
    _("This page yielded into no results. Create a new item or reset your filters."), _("Reset filters"), _("Apply Filters"),
    _("Select action"), _("Select action to run"), _("Select record"), _("Select all rows"), _("Select value"), _("More actions"),
    _("All applications"), _("General"), _("Go back"), _("No data"), _("Run"), _("Toggle password visibility"), _("True"),
    _("False"), _("Add row"), _("Expand row"), _("Date from"), _("Date to"), _("Date"), _("Return to site"), _("System"),
    _("This item will be deleted."), _("Click to cancel"), _("No results matching your query"),
    _("You have been successfully logged out from the administration"),
)
