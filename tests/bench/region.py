"""A simulated region of 100,000 instances in a throw-away database: what `pages` and `search` are measured on.

One organization has 20,000 instances (half of them in one project), 200 others have 400 each, and one lives on trial with
four. Each instance has a volume, a port, capacity on one of 500 hosts, and a past: operations, audit, usage. Rows are made
by PostgreSQL from a plan, a table of theirs each; only what there is few of is made by the site's own verbs.
"""
import atexit
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from ipaddress import IPv4Network
from typing import Any

from psycopg import sql

from tests.bench import databases

BIG, BIG_OTHERS, TENANTS, TENANT_PROJECTS, TENANT_SIZE = 10_000, 10, 200, 2, 200
HOSTS, PEOPLE, KEYS, COMPANY = 500, 300, 40, 50
TYPES = (("small", 1, 512), ("medium", 2, 2048), ("large", 4, 8192), ("huge", 16, 65536))
FAULT = """'{"code": "no_capacity", "detail": "No room.", "facts": {}}'::jsonb"""
ROLES = ["web", "api", "db", "cache", "worker", "queue", "build", "proxy", "mail", "batch"]


@dataclass
class BigRegion:
    """Who looks at it, and where it is."""

    cast: Any
    database: str

    def use(self) -> None:
        databases.use(self.database)


@cache
def opened() -> BigRegion:
    """The region, made at the first call and dropped when the process ends."""
    databases.set_up()
    stack = ExitStack()
    atexit.register(stack.close)
    name = stack.enter_context(databases.database(3))
    region = BigRegion(cast=fill(), database=name)
    return region


def fill() -> Any:
    """Fill the database in use; its cast: alice owns the big organization, vera views its biggest project, tina is on trial."""
    from tests.cast import make_cast

    cast = make_cast()
    _catalogue(cast)
    _hosts(cast)
    _tenants(cast)
    _plan()
    _networks()
    _instances()
    _past()
    _company(cast)
    with _cursor() as cursor:
        for name in ("work", "card", "net", "subnet", "group", "data", "address", "key", "tenant", "host"):
            cursor.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(f"plan_{name}")))
    databases.analyze()
    return cast


def _cursor() -> Any:
    from django.db import connection

    return connection.cursor()


def _table(name: str, select: str, **values: object) -> None:
    """A table of the plan; `{name}` in the text stands for a value."""
    rows = sql.SQL(select).format(**{key: sql.Literal(value) for key, value in values.items()})
    with _cursor() as cursor:
        cursor.execute(sql.SQL("CREATE UNLOGGED TABLE {} AS {}").format(sql.Identifier(f"plan_{name}"), rows))


def _insert(model: Any, source: str, **columns: str) -> None:
    """A row of the model for each row of `source`; fields that no expression is given for get their defaults."""
    from django.db import connection

    names, values = [], []
    for field in model._meta.local_concrete_fields:
        if field.generated or (field.primary_key and field.column not in columns and field.get_internal_type() == "BigAutoField"):
            continue
        if field.has_db_default() and field.column not in columns:
            continue
        names.append(sql.Identifier(field.column))
        if field.column in columns:
            values.append(sql.SQL(columns.pop(field.column)))
        elif getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False):
            values.append(sql.SQL("now()"))
        elif field.primary_key:
            values.append(sql.SQL("gen_random_uuid()"))
        else:
            values.append(sql.Literal(field.get_db_prep_save(field.get_default(), connection)))
    assert not columns, f"no such columns: {columns}"
    statement = sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {}").format(
        sql.Identifier(model._meta.db_table), sql.SQL(", ").join(names), sql.SQL(", ").join(values), sql.SQL(source))
    with connection.cursor() as cursor:
        cursor.execute(statement)


def _owned(model: Any, source: str, *, id: str, name: str, at: str = "now() - interval '90 days'", where: str = "",
           gone: str = "NULL", tags: str = "'{}'::jsonb", **columns: str) -> None:
    """Rows of a kind of resource, in the resources' table and in its own."""
    from portal.kernel.models import Resource

    rows = f"{source} {where}"
    _insert(Resource, rows, id=id, kind=f"'{model.KIND}'", project_id="project_id", region_id="region_id", name=name,
            created_at=at, updated_at=at, deleted_at=gone, tags=tags)
    _insert(model, rows, resource_id=id, **columns)


def _catalogue(cast: Any) -> None:
    from decimal import Decimal

    from billing.seed import seed_prices
    from compute.instances.models import InstanceType
    from compute.network.models import AddressPool, Fabric
    from portal.kernel.models import Zone
    from storage.models import GIB, Image

    for slug in ("b", "c"):
        Zone.objects.create(region=cast.region, slug=slug, name=slug.upper())
    Fabric.objects.create(region=cast.region, driver="simulated", uri="simulated:memory/bench", health="up")
    AddressPool.objects.create(region=cast.region, slug="public", name="Public", cidr=IPv4Network("198.18.0.0/15"),
                               gateway="198.18.0.1", first="198.18.0.10", last="198.19.255.250")
    meters = [(f"instance.{state}", slug, Decimal(vcpus) / 10)
              for slug, vcpus, _memory in TYPES for state in ("running", "stopped")]
    seed_prices(cast.region, [*meters, ("volume", "local", Decimal("0.001")), ("floating_ip.attached", "public", Decimal("0.02")),
                              ("floating_ip.idle", "public", Decimal("0.03"))])
    for slug, vcpus, memory_mib in TYPES:
        InstanceType.objects.create(slug=slug, name=slug.title(), vcpus=vcpus, memory_mib=memory_mib)
    for number in range(12):
        Image.objects.create(project=cast.rival_project, region=cast.region, name=f"Debian {number}", state="active", os="debian",
                             visibility="public", virtual_size=2 * GIB)


def _hosts(cast: Any) -> None:
    from compute.hosts.models import Endpoint, Host, Provider
    from storage.models import GIB, Pool

    _table("host", """SELECT n, gen_random_uuid() AS id, gen_random_uuid() AS endpoint, gen_random_uuid() AS pool,
                             zone.id AS zone_id, zone.region_id
                      FROM generate_series(1, {hosts}) AS n
                      JOIN (SELECT *, row_number() OVER (ORDER BY slug) AS place FROM kernel_zone) AS zone
                        ON zone.place = 1 + n % 3""", hosts=HOSTS)
    _insert(Endpoint, "plan_host", id="endpoint", name="'rack-' || n", driver="'simulated'", uri="'simulated:///nowhere/' || n")
    _insert(Provider, "plan_host", id="id", region_id="region_id", zone_id="zone_id", name="'host-' || to_char(n, 'FM0000')")
    _insert(Host, "plan_host", provider_id="id", endpoint_id="endpoint", hostname="'host-' || n",
            state="CASE WHEN n % 90 = 0 THEN 'error' ELSE 'ready' END", vcpus="256", memory_mib="4194304", last_seen_at="now()",
            health="CASE WHEN n % 70 = 0 THEN 'unreachable' ELSE 'up' END")
    _insert(Pool, "plan_host", id="pool", region_id="region_id", host_id="id", name="'mains'", path="'/pool'",
            capacity=str(20_000 * GIB), available=str(12_000 * GIB))


def _tenants(cast: Any) -> None:
    """Organizations, people and projects; those of the cast get theirs by the verbs, the others in bulk."""
    from datetime import timedelta

    from django.utils import timezone

    from billing.models import Credit
    from tenants import operations
    from tenants.models import ApiKey, Organization, Project, User
    from tenants.roles import bind

    tina = cast.people["tina"] = User.objects.create(username="tina", email="tina@example.org")
    trial = operations.create_organization("Trial", owner=tina, actor=None)
    Organization.objects.filter(pk=trial.pk).update(plan="trial")
    first = operations.create_project(trial, "first", actor=None)
    Credit.objects.create(organization=trial, amount=20, currency="CNY", reason="trial",
                          created_at=timezone.now() - timedelta(days=20))
    people = User.objects.bulk_create([User(username=f"person-{number}") for number in range(PEOPLE)])
    for person in people:
        bind(person, "viewer", cast.project)
    ApiKey.objects.bulk_create([ApiKey(owner=cast.alice, name=f"key-{number}", prefix=f"mns_alice{number}", secret_hash="x")
                                for number in range(KEYS)])
    others = Organization.objects.bulk_create([Organization(name=f"Tenant {number}") for number in range(TENANTS)])
    projects = [Project(organization=cast.organization, name=f"team-{number}") for number in range(BIG_OTHERS)]
    projects += [Project(organization=one, name=f"p{number}") for one in others for number in range(TENANT_PROJECTS)]
    for project in projects:
        project.path = [str(project.pk)]
    Project.objects.bulk_create(projects)
    sizes = {cast.project: (cast.alice, BIG), first: (tina, 4)} | {
        project: (cast.alice, BIG // 10) if project.organization_id == cast.organization.pk else (people[n % PEOPLE], TENANT_SIZE)
        for n, project in enumerate(projects)}
    _table("tenant", "SELECT NULL::uuid AS project_id, NULL::uuid AS organization_id, NULL::uuid AS region_id, "
                     "NULL::uuid AS actor_id, 0 AS size LIMIT 0")
    with _cursor() as cursor:
        cursor.executemany("INSERT INTO plan_tenant VALUES (%s, %s, %s, %s, %s)", [
            (project.pk, project.organization_id, cast.region.pk, person.pk, size) for project, (person, size) in sizes.items()])


def _company(cast: Any) -> None:
    """What the owner of the big organization made beside resources."""
    from compute.instances.models import Instance
    from portal.kernel.models import Operation
    from tests.billing import bills
    from tests.portal import scenery

    common, operation = {"project": cast.project, "region": cast.region}, Operation.objects.filter(project=cast.project).first()
    instance = Instance.objects.filter(project=cast.project).first()
    scenery.make_program(cast.project, 0)
    bills.paid(bills.invoice(cast.organization, bills.Used(project=cast.project, region=cast.region)), Decimal(1), reference="1")
    for number in range(COMPANY):
        scenery.make_people(common, cast.alice, number)
        scenery.make_webhook(cast.project, cast.alice, operation, number)
        scenery.make_budget(cast.project, number)
        scenery.make_exports(cast.project, number)
        scenery.make_schedule(cast.project, instance, cast.alice, number)
        scenery.make_template(common, cast.alice, number)


def _plan() -> None:
    """Which networks and instances there are to be, with all ids; a tenth as many more instances are gone again."""
    _table("net", "SELECT gen_random_uuid() AS id, tenant.* FROM plan_tenant AS tenant")
    _table("subnet", """SELECT gen_random_uuid() AS id, net.id AS vpc_id, project_id, region_id, k,
                               ('10.' || k / 16 || '.' || 16 * (k % 16) || '.0/20')::cidr AS cidr
                        FROM plan_net AS net, generate_series(0, (size - 1) / 1000) AS k""")
    _table("card", """
        SELECT card.n, card.id, gen_random_uuid() AS volume, gen_random_uuid() AS port, gen_random_uuid() AS created,
               i > size AS gone, card.project_id, organization_id, card.region_id, actor_id,
               host.id AS host_id, host.pool, host.zone_id,
               subnet.id AS subnet_id, host(subnet.cidr + 10 + (i - 1) % 1000) AS ip, image.resource_id AS image_id,
               type.id AS type_id, type.slug, type.vcpus, type.memory_mib, born, born + random() * (now() - born) AS since,
               ({roles}::text[])[1 + card.n % 10] || '-' || CASE card.n % 3 WHEN 0 THEN 'prod' WHEN 1 THEN 'test' ELSE 'dev' END
                   || '-' || to_char(i, 'FM00000') AS name,
               CASE WHEN i > size THEN 'deleted' WHEN card.n % 50 = 0 THEN 'error' WHEN card.n % 8 = 0 THEN 'stopped'
                    WHEN card.n % 1009 = 0 THEN 'rebooting' ELSE 'running' END AS state
        FROM (SELECT *, row_number() OVER () AS n, gen_random_uuid() AS id, now() - random() * interval '180 days' AS born
              FROM plan_tenant, generate_series(1, size + size / 10) AS i) AS card
        JOIN plan_host AS host ON host.n = 1 + card.n % {hosts}
        LEFT JOIN plan_subnet AS subnet ON subnet.project_id = card.project_id AND subnet.k = (i - 1) / 1000
        JOIN (SELECT *, row_number() OVER (ORDER BY vcpus) - 1 AS place FROM instances_instancetype) AS type
          ON type.place = CASE WHEN card.n % 20 = 0 THEN 3 ELSE card.n % 3 END
        JOIN (SELECT resource_id, row_number() OVER () - 1 AS place FROM storage_image) AS image
          ON image.place = card.n % 12""", hosts=HOSTS, roles=ROLES)


def _networks() -> None:
    from compute.network.models import SecurityGroup, SecurityGroupRule, Subnet, Vpc

    _owned(Vpc, "plan_net", id="id", name="'main'", cidr="'10.0.0.0/8'::cidr", revision="1", applied_revision="1",
           pool_id="(SELECT id FROM network_addresspool)")
    _owned(Subnet, "plan_subnet", id="id", name="'lan-' || k", vpc_id="vpc_id", cidr="cidr", gateway="cidr + 1")
    _table("group", "SELECT gen_random_uuid() AS id, project_id, region_id, k FROM plan_tenant, generate_series(0, 4) AS k")
    _owned(SecurityGroup, "plan_group", id="id", name="(ARRAY['default', 'web', 'database', 'internal', 'monitoring'])[1 + k]")
    _insert(SecurityGroupRule, "plan_group, generate_series(1, 6) AS n", group_id="plan_group.id", direction="'ingress'",
            protocol="'tcp'", port_min="20 + n", port_max="20 + n", id="gen_random_uuid()")


def _instances() -> None:
    """What tenants have: instances and all that belongs to them."""
    from compute.hosts.models import Claim
    from compute.instances.models import Instance, Snapshot, SnapshotVolume, SshKey
    from compute.network.models import Allocation, FloatingIp, Port
    from storage.models import Attachment, Volume

    alive = "WHERE NOT gone"
    _owned(Instance, "plan_card", id="id", name="name", at="born", gone="CASE WHEN gone THEN since END", state="state",
           observed_state="CASE state WHEN 'running' THEN 'running' ELSE '' END", type_id="type_id", vcpus="vcpus",
           memory_mib="memory_mib", image_id="image_id", zone_id="zone_id", host_id="CASE WHEN gone THEN NULL ELSE host_id END",
           state_changed_at="since", fault=f"CASE state WHEN 'error' THEN {FAULT} END",
           tags="jsonb_build_object('role', split_part(name, '-', 1), 'env', split_part(name, '-', 2))")
    _owned(Volume, "plan_card", id="volume", name="name || '-root'", at="born", where=alive, state="'in_use'", size_gib="20",
           image_id="image_id", pool_id="pool", locator="'/pool/' || volume")
    _insert(Attachment, f"plan_card {alive}", volume_id="volume", domain="id", is_boot="true")
    _table("data", "SELECT *, gen_random_uuid() AS volume_id FROM plan_card WHERE NOT gone AND n % 10 = 0")
    _owned(Volume, "plan_data", id="volume_id", name="name || '-data'", at="since", state="'in_use'", size_gib="100",
           pool_id="pool")
    _insert(Attachment, "plan_data", volume_id="volume_id", domain="id", target="'vdb'")
    _table("snapshot", "SELECT plan_card.*, gen_random_uuid() AS snapshot_id, k FROM plan_card, generate_series(1, 2) AS k "
                       "WHERE NOT gone AND n % 20 = 0")
    _owned(Snapshot, "plan_snapshot", id="snapshot_id", name="name || '-' || k", at="since", state="'active'",
           of_instance_id="id", disk_gib="20", vcpus="vcpus", memory_mib="memory_mib")
    _insert(SnapshotVolume, "plan_snapshot", snapshot_id="snapshot_id", volume_id="volume", size_gib="20", is_boot="true")
    _owned(Port, "plan_card", id="port", name="name || '-eth0'", at="born", where=alive, subnet_id="subnet_id", ip="ip::inet",
           mac="'52:54:00:' || lpad(to_hex(n / 65536), 2, '0') || ':' || lpad(to_hex(n / 256 % 256), 2, '0') || ':' "
               "|| lpad(to_hex(n % 256), 2, '0')", domain="id", goes_with_instance="true", is_up="true")
    groups = Port.groups.through._meta.db_table
    with _cursor() as cursor:
        cursor.execute(sql.SQL("INSERT INTO {} (port_id, securitygroup_id) SELECT port, plan_group.id FROM plan_card "
                               "JOIN plan_group USING (project_id) WHERE NOT gone AND k = 0").format(sql.Identifier(groups)))
    _table("address", "SELECT *, gen_random_uuid() AS address_id FROM plan_data")
    _owned(FloatingIp, "plan_address", id="address_id", name="name || '-public'", at="since", state="'attached'", port_id="port",
           pool_id="(SELECT id FROM network_addresspool)")
    _insert(Allocation, "plan_address", resource_id="address_id", pool_id="(SELECT id FROM network_addresspool)",
            address="'198.18.0.0'::inet + 10 + n / 10")
    for name, amount in (("vcpu", "vcpus"), ("memory_mib", "memory_mib")):
        _insert(Claim, f"plan_card {alive}", provider_id="host_id", consumer_id="id", resource_class=f"'{name}'", amount=amount)
    _table("key", "SELECT gen_random_uuid() AS id, project_id, region_id, k FROM plan_tenant, generate_series(1, 3) AS k")
    _owned(SshKey, "plan_key", id="id", name="'laptop-' || k", public_key="'ssh-ed25519 AAAA ' || k",
           fingerprint="'SHA256:' || id")


def _past() -> None:
    """Two operations and two audit rows for each instance, and three intervals of usage."""
    from billing.models import UsageInterval
    from portal.kernel.models import AuditEvent, Operation

    common = {"project_id": "project_id", "region_id": "region_id", "actor_id": "actor_id", "target_id": "id", "plan": "plan",
              "history": "history", "deadline": "born + interval '1 hour'", "run_after": "born"}
    _table("work", """
        SELECT *, (SELECT jsonb_agg(jsonb_build_object('step', step, 'outcome', 'done', 'at', now()))
                   FROM jsonb_array_elements(plan) AS step) AS history
        FROM (
          SELECT *, CASE WHEN n % 4 = 0 THEN 'instance.reboot' WHEN n % 2 = 0 THEN 'instance.stop'
                         ELSE 'instance.start' END AS kind,
                 '["connect", "seed", "define", "boot", "link"]'::jsonb AS plan,
                 CASE WHEN state = 'rebooting' THEN 'running' WHEN n % 97 = 0 THEN 'failed' ELSE 'succeeded' END AS outcome
          FROM plan_card) AS card""")
    _insert(Operation, "plan_work", id="created", kind="'instance.create'", state="'succeeded'", step="5", progress="100",
            created_at="born", started_at="born", finished_at="born + interval '4 seconds'", updated_at="born", **common)
    _insert(Operation, "plan_work", id="gen_random_uuid()", kind="kind", state="outcome", step="5", progress="100",
            created_at="CASE WHEN outcome = 'running' THEN now() - interval '1 minute' ELSE since END", started_at="since",
            finished_at="CASE WHEN outcome = 'running' THEN NULL ELSE since + interval '3 seconds' END",
            error=f"CASE outcome WHEN 'failed' THEN {FAULT} END",
            updated_at="since", person_since="CASE WHEN outcome = 'running' AND n % 2 = 0 THEN now() END",
            **(common | {"deadline": "now() + interval '1 hour'"}))
    for action, at in (("'instance.create'", "born"), ("kind", "since")):
        _insert(AuditEvent, "plan_work", id="gen_random_uuid()", action=action, at=at, project_id="project_id",
                actor_id="actor_id", organization_id="organization_id", resource_id="id",
                target_type="'instance'", target_name="name", target_id="id::text", operation_id="created")
    until = "CASE WHEN gone THEN since + interval '1 second' END"
    for meter, sku, resource, span, where in (
            ("'instance.stopped'", "slug", "id", "tstzrange(born, since)", ""),
            ("CASE state WHEN 'stopped' THEN 'instance.stopped' ELSE 'instance.running' END", "slug", "id",
             f"tstzrange(since, {until})", ""),
            ("'volume'", "'local'", "volume", "tstzrange(born, NULL)", "WHERE NOT gone")):
        _insert(UsageInterval, f"plan_card {where}", id="gen_random_uuid()", resource_id=resource, project_id="project_id",
                region_id="region_id", meter=meter, sku=sku, quantity="1", period=span)
