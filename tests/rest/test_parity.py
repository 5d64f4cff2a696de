"""What a page can do, the API can, and the reverse. A new route without a row in `parity` fails."""
from tests.portal.routes import routes
from tests.rest.parity import API_ONLY, PAGE_ONLY, PAGES

ROUTES = {f"{route.name}.{route.method}" for route in routes() if not route.is_api}
CHANGES = ("post", "put", "patch", "delete")


def test_every_page_has_its_operations_or_says_why_not() -> None:
    assert ROUTES - PAGES.keys() - PAGE_ONLY.keys() == set(), "add a row to tests/rest/parity.py"
    assert all(PAGE_ONLY.values()) and not PAGES.keys() & PAGE_ONLY.keys()


def test_no_row_speaks_of_what_is_gone(operations: dict[str, str]) -> None:
    assert (PAGES.keys() | PAGE_ONLY.keys()) - ROUTES == set()
    named = {name for names in PAGES.values() for name in names} | API_ONLY.keys()
    assert named - operations.keys() == set()


def test_pages_that_change_name_an_operation_that_changes(operations: dict[str, str]) -> None:
    reading = [page for page, names in PAGES.items() if page.endswith(".POST")
               and not any(operations[name] in CHANGES for name in names)]
    assert reading == []


def test_every_write_of_the_api_has_its_page_or_says_where_people_do_it(operations: dict[str, str]) -> None:
    on_pages = {name for page, names in PAGES.items() if page.endswith(".POST") for name in names}
    writes = {name for name, method in operations.items() if method in CHANGES}
    assert writes - on_pages - API_ONLY.keys() == set(), "build the page, or give the reason in tests/rest/parity.py"
    assert all(API_ONLY.values()) and not on_pages & API_ONLY.keys()


def test_every_list_of_the_api_is_shown_somewhere(operations: dict[str, str]) -> None:
    shown = {name for names in PAGES.values() for name in names} | NOT_SHOWN
    assert {name for name in operations if name.endswith("_list")} - shown == set()


NOT_SHOWN = {"members_list", "roles_list", "fabrics_list", "credits_list"}
"""On the dashboard, in every page's switcher, or in admin: no page of their own."""
