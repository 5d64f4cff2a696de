"""Django's entry for the lab: makes `manage.py lab` known. There are no tables here and never will be."""

from django.apps import AppConfig


class LabConfig(AppConfig):
    """The lab as an app without models."""

    name = "compute.lab"
    label = "lab"
