"""An order as programs write it: the body of POST /api/v1/instances/, and that in curl, Python and the `mains` CLI."""
import json
import shlex
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pprint import pformat
from typing import Any

from django.conf import settings
from django.db.models import Model

from compute.instances.operations import Order

PATH = "/api/v1/instances/"


@dataclass(frozen=True, kw_only=True)
class Known:
    """What there is to choose from: a thing is named by its name where no other of these has the same."""

    projects: Collection[Model] = ()
    images: Collection[Model] = ()
    keys: Collection[Model] = ()
    subnets: Collection[Model] = ()
    groups: Collection[Model] = ()


def body_of(order: Order) -> dict[str, Any]:
    """What the API takes for the same order; what is not asked for is left out."""
    body: dict[str, Any] = {"project": str(order.project.pk), "region": str(order.region.pk), "name": order.name,
                            "type": str(order.type.pk), "image": str(order.image.pk)}
    optional = {"zone": order.zone and str(order.zone.pk), "description": order.description, "tags": order.tags,
                "vcpus": order.vcpus, "memory_mib": order.memory_mib, "root_disk_gib": order.root_disk_gib,
                "subnets": _ids(order.networks.subnets),
                "security_groups": _ids(order.networks.groups or ()), "floating_ip": order.networks.has_floating_ip,
                "ssh_keys": _ids(order.ssh_keys), "public_keys": list(order.public_keys), "user_data": order.user_data,
                "count": order.count if order.count > 1 else None}
    return body | {name: value for name, value in optional.items() if value}


def spellings(order: Order, known: Known) -> list[tuple[str, str, str]]:
    """(id, what it is called, text) of each."""
    return [("curl", "curl", curl(order)), ("python", "Python", python(order)), ("cli", "CLI", cli(order, known))]


def curl(order: Order) -> str:
    text = json.dumps(body_of(order), ensure_ascii=False, indent=2)
    return (f"curl -X POST {settings.SITE_URL}{PATH} \\\n  -H \"Authorization: Bearer $MAINS_API_KEY\" \\\n"
            f"  -H 'Content-Type: application/json' \\\n  -d {shlex.quote(text)}")


def python(order: Order) -> str:
    """The standard library alone."""
    body = pformat(body_of(order), sort_dicts=False, width=100)
    return (f"import json\nimport os\nfrom urllib.request import Request, urlopen\n\nbody = {body}\n"
            f"request = Request(\n    {f'{settings.SITE_URL}{PATH}'!r},\n    data=json.dumps(body).encode(),\n"
            "    headers={\"Authorization\": \"Bearer \" + os.environ[\"MAINS_API_KEY\"],\n"
            "             \"Content-Type\": \"application/json\"},\n)\n"
            "with urlopen(request) as answer:\n    print(json.load(answer))\n")


def cli(order: Order, known: Known) -> str:
    """One command; a script for the guest goes in by the standard input."""
    options = [("--project", _named(order.project, known.projects)), ("--region", order.region.slug),
               ("--zone", order.zone and order.zone.slug), ("--type", order.type.slug),
               ("--image", _named(order.image, known.images)), ("--vcpus", order.vcpus),
               ("--memory-mib", order.memory_mib), ("--root-disk-gib", order.root_disk_gib),
               *_each("--subnet", order.networks.subnets, known.subnets),
               *_each("--security-group", order.networks.groups or (), known.groups),
               *_each("--ssh-key", order.ssh_keys, known.keys), *(("--public-key", text) for text in order.public_keys),
               ("--description", order.description), *(("--tag", f"{key}={text}") for key, text in order.tags.items()),
               ("--count", order.count if order.count > 1 else None)]
    # One word with =, so that a value that begins with a dash is a value all the same.
    words = [f"{flag}={shlex.quote(str(value))}" if str(value).startswith("-") else f"{flag} {shlex.quote(str(value))}"
             for flag, value in options if value]
    words += ["--floating-ip"] if order.networks.has_floating_ip else []
    words += ["--user-data -"] if order.user_data else []
    given = f"printf %s {shlex.quote(order.user_data)} | " if order.user_data else ""
    name = shlex.quote(order.name)
    first, last = ("", [f"-- {name}"]) if order.name.startswith("-") else (f" {name}", [])
    return f"{given}mains instance create{first} \\\n  " + " \\\n  ".join([*words, *last])


def _each(flag: str, rows: Iterable[Model], known: Collection[Model]) -> Sequence[tuple[str, str]]:
    return [(flag, _named(row, known)) for row in rows]


def _named(row: Any, known: Collection[Any]) -> str:
    """The name, if it means this one; an id does in any case."""
    is_clear = [other.pk for other in known if other.name == row.name] == [row.pk]
    return row.name if is_clear else str(row.pk)


def _ids(rows: Iterable[Model]) -> list[str]:
    return [str(row.pk) for row in rows]
