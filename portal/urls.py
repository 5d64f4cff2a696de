"""All addresses of the site. Each room's own are in its `urls.py`; what joins rooms is in `portal.views`."""
from django.contrib import admin
from django.urls import include, path

from portal import health
from portal.views import api_keys, dashboard, operations

operation_pages = [
    path("", operations.listing, name="list"),
    path("drawer/", operations.drawer, name="drawer"),
    path("button/", operations.button, name="button"),
    path("<uuid:pk>/", operations.detail, name="detail"),
    path("<uuid:pk>/cancel/", operations.cancel, name="cancel"),
]
operator_pages = [
    path("operations/", operations.needing_a_person, name="operations"),
    path("operations/<uuid:pk>/retry/", operations.retry, name="retry"),
    path("operations/<uuid:pk>/cancel/", operations.operator_cancel, name="cancel"),
]
api_key_pages = [
    path("", api_keys.listing, name="list"),
    path("create/", api_keys.create, name="create"),
    path("<uuid:pk>/revoke/", api_keys.revoke, name="revoke"),
]

urlpatterns = [
    path("", dashboard.dashboard, name="dashboard"),
    path("", include("compute.network.urls")),
    path("", include("compute.instances.urls")),
    path("", include("billing.urls")),
    path("operations/", include((operation_pages, "operations"))),
    path("operator/", include((operator_pages, "operator"))),
    path("api-keys/", include((api_key_pages, "api_keys"))),
    path("accounts/", include("allauth.urls")),
    path("i18n/", include("django.conf.urls.i18n")),
    path("api/v1/", include("portal.api_urls")),
    path("admin/", admin.site.urls),

    *health.urlpatterns,
]
