from django.urls import path

from tenants.single_sign_on import views

urlpatterns = [
    path("oidc/", views.start, name="oidc_start"),
    path("oidc/<slug:slug>/login/", views.login, name="oidc_login"),
    path("oidc/<slug:slug>/login/callback/", views.callback, name="oidc_callback"),
]
