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
    "stop-suspended": {"task": "instances.stop_suspended", "schedule": 10.0, "options": {"expires": 10}},
    "purge-recycled": {"task": "instances.purge_recycled", "schedule": 300.0, "options": {"expires": 300}},
    "run-schedules": {"task": "instances.run_schedules", "schedule": 15.0, "options": {"expires": 15}},
    "network-sweep": {"task": "network.sweep", "schedule": 2.0, "options": {"expires": 4}},
    "network-reconcile": {"task": "network.reconcile_all", "schedule": 30.0, "options": {"expires": 30}},
    "count-traffic": {"task": "network.count_traffic_all", "schedule": 60.0, "options": {"expires": 60}},
    "measure": {"task": "monitoring.measure_all", "schedule": 15.0, "options": {"expires": 15}},
    "roll-up": {"task": "monitoring.roll_up", "schedule": 60.0, "options": {"expires": 60}},
    "divide": {"task": "monitoring.divide", "schedule": 3600.0, "options": {"expires": 3600}},
    "webhooks": {"task": "webhooks.deliver", "schedule": 2.0, "options": {"expires": 4}},
    "webhooks-minute": {"task": "webhooks.minute", "schedule": 60.0, "options": {"expires": 60}},
    "notices": {"task": "notices.deliver", "schedule": 10.0, "options": {"expires": 20}},
    "tell-expiring": {"task": "tenants.tell_expiring", "schedule": 3600.0, "options": {"expires": 3600}},
    "close-months": {"task": "billing.close", "schedule": 3600.0, "options": {"expires": 3600}},
    "collect": {"task": "billing.collect", "schedule": 300.0, "options": {"expires": 300}},
    "exports": {"task": "billing.exports", "schedule": 60.0, "options": {"expires": 60}},
    "send-bills": {"task": "billing.send", "schedule": 30.0, "options": {"expires": 30}},
    "watch-budgets": {"task": "billing.watch_budgets", "schedule": 60.0, "options": {"expires": 60}},
    "prune": {"task": "portal.prune", "schedule": 86400.0, "options": {"expires": 86400}},
    "seal": {"task": "kernel.seal", "schedule": 2.0, "options": {"expires": 4}},
    "look-at-audit": {"task": "kernel.look_at_audit", "schedule": 60.0, "options": {"expires": 60}},
    "verify-audit": {"task": "kernel.verify_audit", "schedule": 86400.0, "options": {"expires": 86400}},
    "retain": {"task": "kernel.retain", "schedule": 3600.0, "options": {"expires": 3600}},
}
