"""Included by the pages of instances, under their namespace (`instances:console-ticket`)."""
from django.urls import path

from compute.instances.console import views

urlpatterns = [
    path("<uuid:pk>/console/", views.issue, name="console-ticket"),
    path("<uuid:pk>/console-log/", views.download_log, name="console-log"),
    path("<uuid:pk>/console-sessions/", views.session_list, name="console-sessions"),
    path("<uuid:pk>/console-sessions/end/", views.end, name="end-console-session"),
    path("<uuid:pk>/console-links/", views.make_link, name="console-links"),
    path("<uuid:pk>/console-links/revoke/", views.revoke_link, name="revoke-console-link"),
    path("<uuid:pk>/console-view/", views.look, name="console-view"),
]
