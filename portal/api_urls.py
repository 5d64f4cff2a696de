"""`/api/v1/`: all rooms' viewsets under one router, the published schema and its docs page.

A room adds a line in `ROOMS`; its viewsets stay in its own `api.py`.
"""
from django.urls import path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView
from rest_framework.permissions import AllowAny
from rest_framework.routers import SimpleRouter

from billing import api as billing
from billing import budget_api as budgets
from billing import collection_api as collections
from billing import cost_api as costs
from billing import export_api as exports
from billing import invoice_api as invoices
from billing import report_api as reports
from compute.instances import api as instances
from compute.instances import sizes_api as sizes
from compute.instances.launch_templates import api as launch_templates
from compute.instances.schedules import api as schedules
from compute.instances.snapshots import api as snapshots
from compute.instances.volumes import api as volumes
from compute.network import api as network
from portal import api as portal
from portal.kernel import api as kernel
from portal.kernel.rest import problem
from portal.notices import api as notices
from storage import api as storage
from tenants import api as tenants
from tenants import glass_api as glass
from tenants import keys_api as keys
from tenants import people_api as people
from tenants import quota_api as quotas
from tenants import sign_in_api as sign_in
from tenants.webhooks import api as webhooks

ROOMS = {
    "regions": (kernel.RegionViewSet, "region"),
    "zones": (kernel.ZoneViewSet, "zone"),
    "operations": (kernel.OperationViewSet, "operation"),
    "audit": (kernel.AuditViewSet, "audit"),
    "organizations": (tenants.OrganizationViewSet, "organization"),
    "projects": (tenants.ProjectViewSet, "project"),
    "members": (people.MemberViewSet, "member"),
    "bindings": (people.BindingViewSet, "binding"),
    "groups": (people.GroupViewSet, "group"),
    "roles": (people.RoleViewSet, "role"),
    "invitations": (people.InvitationViewSet, "invitation"),
    "quota-requests": (quotas.QuotaRequestViewSet, "quota-request"),
    "sessions": (sign_in.SessionViewSet, "session"),
    "api-keys": (keys.ApiKeyViewSet, "api-key"),
    "service-users": (keys.ServiceUserViewSet, "service-user"),
    "break-glass": (glass.BreakGlassViewSet, "break-glass"),
    "webhooks": (webhooks.WebhookViewSet, "webhook"),
    "webhook-deliveries": (webhooks.DeliveryViewSet, "webhook-delivery"),
    "usage": (billing.UsageViewSet, "usage"),
    "costs": (costs.CostViewSet, "cost"),
    "prices": (billing.PriceViewSet, "price"),
    "credits": (billing.CreditViewSet, "credit"),
    "budgets": (budgets.BudgetViewSet, "budget"),
    "vouchers": (budgets.VoucherViewSet, "voucher"),
    "invoices": (invoices.InvoiceViewSet, "invoice"),
    "payments": (invoices.PaymentViewSet, "payment"),
    "revenue": (reports.RevenueViewSet, "revenue"),
    "ledger": (invoices.EntryViewSet, "ledger-entry"),
    "balances": (collections.BalanceViewSet, "balance"),
    "exports": (exports.ExportViewSet, "export"),
    "export-schedules": (exports.ExportScheduleViewSet, "export-schedule"),
    "billing-profiles": (invoices.BillingProfileViewSet, "billing-profile"),
    "hosts": (storage.HostViewSet, "host"),
    "pools": (storage.PoolViewSet, "pool"),
    "images": (storage.ImageViewSet, "image"),
    "volumes": (volumes.VolumeViewSet, "volume"),
    "vpcs": (network.VpcViewSet, "vpc"),
    "subnets": (network.SubnetViewSet, "subnet"),
    "ports": (network.PortViewSet, "port"),
    "security-groups": (network.SecurityGroupViewSet, "security-group"),
    "security-group-rules": (network.SecurityGroupRuleViewSet, "security-group-rule"),
    "floating-ips": (network.FloatingIpViewSet, "floating-ip"),
    "address-pools": (network.AddressPoolViewSet, "address-pool"),
    "fabrics": (network.FabricViewSet, "fabric"),
    "instance-types": (sizes.InstanceTypeViewSet, "instance-type"),
    "ssh-keys": (instances.SshKeyViewSet, "ssh-key"),
    "instances": (instances.InstanceViewSet, "instance"),
    "snapshots": (snapshots.SnapshotViewSet, "snapshot"),
    "launch-templates": (launch_templates.LaunchTemplateViewSet, "launch-template"),
    "instance-schedules": (schedules.InstanceScheduleViewSet, "instance-schedule"),
}

router = SimpleRouter()
router.include_root_view = False
for prefix, (viewset, basename) in ROOMS.items():
    router.register(prefix, viewset, basename=basename)

# They show no data: whoever can reach the server may read how to talk to it.
schema = SpectacularAPIView.as_view(permission_classes=[AllowAny], authentication_classes=[])
docs = SpectacularSwaggerView.as_view(permission_classes=[AllowAny], authentication_classes=[], url_name="api-schema")

urlpatterns = [
    path("schema/", schema, name="api-schema"),
    path("docs/", docs, name="api-docs"),
    path("me/", tenants.MeViewSet.as_view({"get": "me"}), name="me"),
    path("me/factors/", sign_in.FactorViewSet.as_view({"get": "factors"}), name="me-factors"),
    path("me/actions/leave/", people.LeaveViewSet.as_view({"post": "leave"}), name="me-leave"),
    path("me/notification-preferences/", notices.PreferencesViewSet.as_view({"get": "show", "put": "choose"}),
         name="me-notification-preferences"),
    path("search/", portal.SearchViewSet.as_view({"get": "find"}), name="api-search"),
    path("notifications/", portal.NotificationViewSet.as_view({"get": "newest"}), name="api-notifications"),
    path("notifications/actions/read/", portal.NotificationViewSet.as_view({"post": "read"}), name="api-notifications-read"),
    *router.urls,
    # Whatever is left: a problem document instead of a page, and no redirect that would lose a POST's body.
    re_path(r"^[\s\S]*$", problem.not_found, name="api-not-found"),
]
