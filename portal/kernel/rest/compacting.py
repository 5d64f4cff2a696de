"""The last touch on the schema: what many operations share (problems, headers) stands once, under a name.

A refusal is named by its codes (`problem_404_not_found`), or by its operation when there are many.
"""
from typing import Any

LONGEST = 120
PROBLEM = "application/problem+json"


def compact(result: dict[str, Any], **_options: Any) -> dict[str, Any]:
    """A drf-spectacular postprocessing hook."""
    components = result.setdefault("components", {})
    responses, headers = components.setdefault("responses", {}), components.setdefault("headers", {})
    for item in result["paths"].values():
        for operation in item.values():
            for status, response in operation["responses"].items():
                for name, header in response.get("headers", {}).items():
                    headers.setdefault(name, dict(header))
                    response["headers"][name] = {"$ref": f"#/components/headers/{name}"}
                if PROBLEM in response.get("content", {}):
                    name = _name(status, response, operation["operationId"])
                    responses.setdefault(name, response)
                    operation["responses"][status] = {"$ref": f"#/components/responses/{name}"}
    components["responses"], components["headers"] = dict(sorted(responses.items())), dict(sorted(headers.items()))
    return result


def _name(status: str, response: dict[str, Any], operation: str) -> str:
    codes = response["content"][PROBLEM]["schema"]["allOf"][1]["properties"]["code"]["enum"]
    words = "_or_".join(codes)
    return f"problem_{status}_{words if len(words) <= LONGEST else operation}"
