"""The Celery application: doorbells and clocks only (DESIGN section 2). Tasks take ids and return nothing."""
import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

app = Celery("portal")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
# Doubled or missed ticks are harmless: every task claims its work in PostgreSQL.
app.conf.beat_schedule = {
    "sweep": {"task": "kernel.sweep", "schedule": 2.0, "options": {"expires": 4}},
    "reconcile": {"task": "instances.reconcile_all", "schedule": 30.0, "options": {"expires": 30}},
    "network-sweep": {"task": "network.sweep", "schedule": 2.0, "options": {"expires": 4}},
    "network-reconcile": {"task": "network.reconcile_all", "schedule": 30.0, "options": {"expires": 30}},
    "prune": {"task": "portal.prune", "schedule": 86400.0, "options": {"expires": 86400}},
    "retain": {"task": "kernel.retain", "schedule": 3600.0, "options": {"expires": 3600}},
}
