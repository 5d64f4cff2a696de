"""Pages of usage, bills and payments."""
from django.urls import include, path

from billing import budget_views, cost_views, export_views, invoice_views, topup_views, views

balance_pages = [
    path("", invoice_views.overview, name="page"),
    path("simulated/", topup_views.simulated, name="simulated"),
    path("<uuid:pk>/top-up/", topup_views.top_up, name="top-up"),
    path("<uuid:pk>/paid/", topup_views.paid, name="paid"),
    path("<uuid:pk>/voucher/", budget_views.voucher, name="voucher"),
    path("<uuid:pk>/profile/", invoice_views.profile, name="profile"),
]
budget_pages = [
    path("", budget_views.listing, name="list"),
    path("create/", budget_views.create, name="create"),
    path("<uuid:pk>/", budget_views.detail, name="detail"),
    path("<uuid:pk>/edit/", budget_views.edit, name="edit"),
    path("<uuid:pk>/delete/", budget_views.delete, name="delete"),
]
invoice_pages = [
    path("", invoice_views.invoices, name="list"),
    path("<uuid:pk>/", invoice_views.invoice, name="detail"),
    path("<uuid:pk>/charges/", invoice_views.charges, name="charges"),
    path("<uuid:pk>/pdf/", invoice_views.pdf, name="pdf"),
    path("<uuid:pk>/send/", invoice_views.send, name="send"),
]
export_pages = [
    path("", export_views.listing, name="list"),
    path("create/", export_views.create, name="create"),
    path("<uuid:pk>/", export_views.detail, name="detail"),
    path("<uuid:pk>/link/", export_views.link, name="link"),
    path("<uuid:pk>/download/", export_views.download, name="download"),
]
schedule_pages = [
    path("", export_views.schedule_listing, name="list"),
    path("create/", export_views.create_schedule, name="create"),
    path("<uuid:pk>/", export_views.schedule, name="detail"),
    path("<uuid:pk>/enable/", export_views.enable, name="enable"),
    path("<uuid:pk>/disable/", export_views.disable, name="disable"),
    path("<uuid:pk>/delete/", export_views.delete, name="delete"),
]
payment_pages = [path("", invoice_views.payments, name="list"), path("told/", topup_views.told, name="told")]

urlpatterns = [
    path("costs/", include(([path("", cost_views.costs, name="page")], "costs"))),
    path("usage/", include(([path("", views.usage, name="usage")], "billing"))),
    path("billing/", include((balance_pages, "balance"))),
    path("budgets/", include((budget_pages, "budgets"))),
    path("invoices/", include((invoice_pages, "invoices"))),
    path("exports/schedules/", include((schedule_pages, "export_schedules"))),
    path("exports/", include((export_pages, "exports"))),
    path("payments/", include((payment_pages, "payments"))),
]
