from django.urls import include, path

from tenants.webhooks import views

webhook_pages = [
    path("", views.listing, name="list"),
    path("create/", views.create, name="create"),
    path("<uuid:pk>/", views.detail, name="detail"),
    path("<uuid:pk>/edit/", views.edit, name="edit"),
    path("<uuid:pk>/test/", views.test, name="test"),
    path("<uuid:pk>/rotate/", views.rotate, name="rotate"),
    path("<uuid:pk>/enable/", views.enable, name="enable"),
    path("<uuid:pk>/disable/", views.disable, name="disable"),
    path("<uuid:pk>/delete/", views.delete, name="delete"),
]
delivery_pages = [
    path("<uuid:pk>/", views.delivery, name="detail"),
    path("<uuid:pk>/resend/", views.resend, name="resend"),
]
urlpatterns = [
    path("", include((webhook_pages, "webhooks"))),
    path("deliveries/", include((delivery_pages, "webhook_deliveries"))),
]
