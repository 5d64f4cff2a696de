"""All addresses of the site. Each room's own are in its `urls.py`; what joins rooms is in `portal.views`."""
from django.conf import settings
from django.contrib import admin
from django.urls import include, path

from portal import health
from portal.lists import ApiKeyList, OperationList, StuckList
from portal.notices import views as notices
from portal.views import (
    api_keys,
    audit,
    calculator,
    cli,
    dashboard,
    docs,
    frame,
    notifications,
    operations,
    operators,
    organizations,
    outbox,
    projects,
    quotas,
    search,
    service_users,
    ui,
)
from tenants.bulk import bulk_paths

operation_pages = [
    path("", operations.listing, name="list"),
    path("drawer/", operations.drawer, name="drawer"),
    path("button/", operations.button, name="button"),
    path("<uuid:pk>/", operations.detail, name="detail"),
    path("<uuid:pk>/cancel/", operations.cancel, name="cancel"),
    *bulk_paths(OperationList),
]
audit_pages = [
    path("", audit.listing, name="list"),
    path("<uuid:pk>/", audit.detail, name="detail"),
]
notification_pages = [
    path("", notifications.listing, name="list"),
    path("drawer/", notifications.drawer, name="drawer"),
    path("read/", notifications.read, name="read"),
    path("unsubscribe/", notices.unsubscribe, name="unsubscribe"),
]
operator_pages = [
    path("operations/", operations.needing_a_person, name="operations"),
    path("operations/<uuid:pk>/retry/", operations.retry, name="retry"),
    path("operations/<uuid:pk>/cancel/", operations.operator_cancel, name="cancel"),
    *bulk_paths(StuckList, "operations/"),
]
api_key_pages = [
    path("", api_keys.listing, name="list"),
    path("create/", api_keys.create, name="create"),
    path("<uuid:pk>/rotate/", api_keys.rotate, name="rotate"),
    path("<uuid:pk>/end-previous/", api_keys.end_previous, name="end-previous"),
    path("<uuid:pk>/revoke/", api_keys.revoke, name="revoke"),
    *bulk_paths(ApiKeyList),
]
service_user_pages = [
    path("create/", service_users.create, name="create"),
    path("<uuid:pk>/", service_users.detail, name="detail"),
    path("<uuid:pk>/edit/", service_users.edit, name="edit"),
    path("<uuid:pk>/bind/", service_users.bind, name="bind"),
    path("<uuid:pk>/add-key/", service_users.add_key, name="add-key"),
    path("<uuid:pk>/activate/", service_users.activate, name="activate"),
    path("<uuid:pk>/deactivate/", service_users.deactivate, name="deactivate"),
    path("<uuid:pk>/delete/", service_users.delete, name="delete"),
]
emergency_pages = [
    path("", operators.accesses, name="list"),
    path("<uuid:pk>/end/", operators.end, name="end"),
]
organization_pages = [
    path("", organizations.listing, name="list"),
    path("<uuid:pk>/edit/", organizations.edit, name="edit"),
    path("<uuid:pk>/quotas/", quotas.organization, name="quotas"),
    path("<uuid:pk>/limits/", quotas.limits_of_organization, name="limits"),
    path("<uuid:pk>/delete/", organizations.delete, name="delete"),
]
project_pages = [
    path("", projects.listing, name="list"),
    path("create/", projects.create, name="create"),
    path("<uuid:pk>/", projects.detail, name="detail"),
    path("<uuid:pk>/edit/", projects.edit, name="edit"),
    path("<uuid:pk>/move/", projects.move, name="move"),
    path("<uuid:pk>/limits/", quotas.limits_of_project, name="limits"),
    path("<uuid:pk>/archive/", projects.archive, name="archive"),
    path("<uuid:pk>/unarchive/", projects.unarchive, name="unarchive"),
    path("<uuid:pk>/delete/", projects.delete, name="delete"),
]
quota_request_pages = [
    path("", quotas.listing, name="list"),
    path("create/", quotas.create, name="create"),
    path("<uuid:pk>/", quotas.detail, name="detail"),
    path("<uuid:pk>/grant/", quotas.grant, name="grant"),
    path("<uuid:pk>/refuse/", quotas.refuse, name="refuse"),
    path("<uuid:pk>/withdraw/", quotas.withdraw, name="withdraw"),
]
docs_pages = [
    path("", docs.index, name="index"),
    path("<slug:guide>/", docs.guide, name="guide"),
    path("<slug:guide>/<slug:page>/", docs.page, name="page"),
]
cli_pages = [
    path("", cli.about, name="page"),
    path("commands/", cli.commands, name="commands"),
    path("mains", cli.download, name="file"),
]

urlpatterns = [
    path("", dashboard.dashboard, name="dashboard"),
    path("", include("compute.network.urls")),
    path("", include("compute.instances.urls")),
    path("", include("billing.urls")),
    path("", include("portal.people_urls")),
    path("search/", search.search, name="search"),
    path("switch/", frame.switch, name="switch"),
    path("region/", frame.region, name="region"),
    path("ui/", ui.show, name="ui"),
    path("notifications/", include((notification_pages, "notifications"))),
    path("operations/", include((operation_pages, "operations"))),
    path("audit/", include((audit_pages, "audit"))),
    path("operator/access/", include((emergency_pages, "emergency"))),
    path("operator/", include((operator_pages, "operator"))),
    path("impersonation/stop/", operators.stop_acting, name="impersonation-stop"),
    *([] if settings.EMAIL_URL else [path("operator/outbox/", include(([path("", outbox.listing, name="list")], "outbox")))]),
    path("api-keys/", include((api_key_pages, "api_keys"))),
    path("service-users/", include((service_user_pages, "service_users"))),
    path("organization/", include((organization_pages, "organizations"))),
    path("projects/", include((project_pages, "projects"))),
    path("quota-requests/", include((quota_request_pages, "quota_requests"))),
    path("webhooks/", include("tenants.webhooks.urls")),
    path("calculator/", calculator.calculator, name="calculator"),
    path("docs/", include((docs_pages, "docs"))),
    path("cli/", include((cli_pages, "cli"))),
    path("accounts/", include("allauth.urls")),
    path("i18n/setlang/", frame.language, name="set_language"),
    path("api/v1/", include("portal.api_urls")),
    path("admin/", admin.site.urls),

    *health.urlpatterns,
]
