"""What pages do, as REST does it: "<page's route name>.<method>" → the operations of the API that do or tell the same.

A page without a counterpart is an exception, and says why. `API_ONLY` are writes that no page does.
"""
VERBS = ("start", "stop", "reboot")

READS = {
    "dashboard.GET": ("instances_list", "usage_list", "operations_list", "projects_quotas_get", "audit_list"),
    "instances:list.GET": ("instances_list",),
    "instances:detail.GET": ("instances_retrieve", "volumes_list", "ports_list", "operations_list", "audit_list", "usage_list"),
    "instances:create.GET": ("instance_types_list", "images_list", "subnets_list", "security_groups_list", "ssh_keys_list",
                             "zones_list", "regions_list", "prices_list", "projects_quotas_get"),
    "ssh_keys:list.GET": ("ssh_keys_list",),
    "volumes:list.GET": ("volumes_list",),
    "hosts:list.GET": ("hosts_list",),
    "hosts:detail.GET": ("hosts_retrieve", "pools_list", "operations_list"),
    "vpcs:list.GET": ("vpcs_list",),
    "vpcs:create.GET": ("regions_list", "projects_list"),
    "vpcs:detail.GET": ("vpcs_retrieve", "subnets_list", "ports_list"),
    "security_groups:list.GET": ("security_groups_list",),
    "security_groups:create.GET": ("regions_list", "projects_list"),
    "security_groups:detail.GET": ("security_groups_retrieve", "security_group_rules_list"),
    "floating_ips:list.GET": ("floating_ips_list",),
    "floating_ips:create.GET": ("address_pools_list", "regions_list", "projects_list"),
    "billing:usage.GET": ("usage_list", "prices_list"),
    "operations:list.GET": ("operations_list",),
    "operations:drawer.GET": ("operations_list",),
    "operations:button.GET": ("operations_list",),
    "operations:detail.GET": ("operations_retrieve",),
    "operator:operations.GET": ("operations_list",),
    "api_keys:list.GET": ("api_keys_list",),
    "images:detail.GET": ("images_retrieve",),
    "ssh_keys:detail.GET": ("ssh_keys_retrieve",),
    "volumes:detail.GET": ("volumes_retrieve",),
    "floating_ips:detail.GET": ("floating_ips_retrieve", "usage_list"),
    "search.GET": ("search",),
    "notifications:list.GET": ("notifications",),
    "notifications:drawer.GET": ("notifications",),
    # Forms: what they offer to choose from.
    "instances:edit.GET": ("instances_retrieve",),
    "images:edit.GET": ("images_retrieve",),
    "volumes:edit.GET": ("volumes_retrieve",),
    "ssh_keys:edit.GET": ("ssh_keys_retrieve",),
    "vpcs:edit.GET": ("vpcs_retrieve",),
    "vpcs:add-subnet.GET": ("vpcs_retrieve",),
    "vpcs:add-port.GET": ("vpcs_retrieve", "subnets_list", "security_groups_list"),
    "subnets:edit.GET": ("subnets_retrieve",),
    "ports:edit.GET": ("ports_retrieve",),
    "ports:security-groups.GET": ("ports_retrieve", "security_groups_list"),
    "ports:floating-ip.GET": ("ports_retrieve", "floating_ips_list"),
    "security_groups:edit.GET": ("security_groups_retrieve",),
    "floating_ips:edit.GET": ("floating_ips_retrieve",),
    "floating_ips:associate.GET": ("floating_ips_retrieve", "ports_list"),
}
WRITES = {
    "instances:create.POST": ("instances_create",),
    "instances:summary.POST": ("instances_create",),  # ?dry_run=true
    "instances:check.POST": ("instances_create",),  # ?dry_run=true
    **{f"instances:{verb}.POST": (f"instances_actions_{verb}",) for verb in VERBS},
    "instances:delete.POST": ("instances_destroy",),
    "instances:console-ticket.POST": ("instances_console",),
    "ssh_keys:add.POST": ("ssh_keys_create",),
    "ssh_keys:generate.POST": ("ssh_keys_create",),
    "ssh_keys:delete.POST": ("ssh_keys_destroy",),
    "hosts:prepare.POST": ("hosts_actions_prepare",),
    "hosts:maintenance.POST": ("hosts_maintenance",),
    "vpcs:create.POST": ("vpcs_create", "subnets_create"),
    "vpcs:delete.POST": ("vpcs_destroy",),
    "vpcs:add-subnet.POST": ("subnets_create",),
    "vpcs:add-port.POST": ("ports_create",),
    "subnets:delete.POST": ("subnets_destroy",),
    "ports:delete.POST": ("ports_destroy",),
    "ports:security-groups.POST": ("ports_update",),
    "ports:floating-ip.POST": ("floating_ips_actions_associate", "floating_ips_actions_disassociate"),
    "security_groups:create.POST": ("security_groups_create",),
    "security_groups:add-rule.POST": ("security_group_rules_create",),
    "security_groups:delete.POST": ("security_groups_destroy",),
    "security_group_rules:delete.POST": ("security_group_rules_destroy",),
    "floating_ips:create.POST": ("floating_ips_create",),
    "floating_ips:associate.POST": ("floating_ips_actions_associate",),
    "floating_ips:disassociate.POST": ("floating_ips_actions_disassociate",),
    "floating_ips:release.POST": ("floating_ips_destroy",),
    "notifications:read.POST": ("notifications_actions_read",),
    "operations:cancel.POST": ("operations_actions_cancel",),
    "operator:cancel.POST": ("operations_actions_cancel",),
    "operator:retry.POST": ("operations_actions_retry",),
    "api_keys:create.POST": ("api_keys_create",),
    "api_keys:revoke.POST": ("api_keys_destroy",),
}
# Verbs on many rows of a list: a program loops.
READS |= {"instances:menu.GET": ("instances_retrieve",), "images:list.GET": ("images_list",)}
WRITES |= {
    **{f"instances:bulk-{verb}.POST": (f"instances_actions_{verb}",) for verb in VERBS},
    "instances:bulk-delete.POST": ("instances_destroy",),
    "ssh_keys:bulk-delete.POST": ("ssh_keys_destroy",),
    "api_keys:bulk-revoke.POST": ("api_keys_destroy",),
    "hosts:bulk-prepare.POST": ("hosts_actions_prepare",),
    "hosts:bulk-maintain.POST": ("hosts_maintenance",),
    "hosts:bulk-serve.POST": ("hosts_maintenance",),
    "vpcs:bulk-delete.POST": ("vpcs_destroy",),
    "security_groups:bulk-delete.POST": ("security_groups_destroy",),
    "floating_ips:bulk-disassociate.POST": ("floating_ips_actions_disassociate",),
    "floating_ips:bulk-release.POST": ("floating_ips_destroy",),
    "operations:bulk-cancel.POST": ("operations_actions_cancel",),
    "operator:bulk-cancel.POST": ("operations_actions_cancel",),
    "operator:bulk-retry.POST": ("operations_actions_retry",),
}
EDITS = {f"{kind}:edit.POST": (f"{kind}_update",) for kind in (
    "instances", "images", "volumes", "ssh_keys", "vpcs", "subnets", "ports", "security_groups", "floating_ips")}
# One press for many rows: a program sends one request for each.
BULK = {
    **{f"instances:bulk-{verb}.POST": (f"instances_actions_{verb}",) for verb in VERBS},
    "instances:bulk-delete.POST": ("instances_destroy",),
    "ssh_keys:bulk-delete.POST": ("ssh_keys_destroy",),
    "vpcs:bulk-delete.POST": ("vpcs_destroy",),
    "security_groups:bulk-delete.POST": ("security_groups_destroy",),
    "floating_ips:bulk-disassociate.POST": ("floating_ips_actions_disassociate",),
    "floating_ips:bulk-release.POST": ("floating_ips_destroy",),
    "hosts:bulk-prepare.POST": ("hosts_actions_prepare",),
    "hosts:bulk-maintain.POST": ("hosts_maintenance",),
    "hosts:bulk-serve.POST": ("hosts_maintenance",),
    "operations:bulk-cancel.POST": ("operations_actions_cancel",),
    "operator:bulk-cancel.POST": ("operations_actions_cancel",),
    "operator:bulk-retry.POST": ("operations_actions_retry",),
    "api_keys:bulk-revoke.POST": ("api_keys_destroy",),
}
PAGES: dict[str, tuple[str, ...]] = READS | WRITES | EDITS | BULK
PAGE_ONLY: dict[str, str] = {
    "ui.GET": "the design system's components",
    "cli:page.GET": "how to get the program that speaks REST",
    "cli:file.GET": "the program itself",
    "cli:commands.GET": "the schema, as the program reads it",
    "outbox:list.GET": "mail that a development server did not send",
    "switch.GET": "which project a person looks at; programs say ?project=",
    "region.POST": "which region a person looks at; programs say ?region=",
}
"""Page → why programs need no such thing."""
API_ONLY: dict[str, str] = {
    "hosts_create": "operators add hosts in admin",
    "projects_quotas_put": "operators set limits in admin",
    "projects_create": "operators make further projects in admin",
    "projects_update": "operators rename projects in admin",
    "organizations_update": "operators rename organizations in admin",
}
"""Write of the API → where people do it instead."""
