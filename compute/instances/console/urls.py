"""Included by the pages of instances, under their namespace (`instances:console-ticket`)."""
from django.urls import path

from compute.instances.console import views

urlpatterns = [path("<uuid:pk>/console/", views.issue, name="console-ticket")]
