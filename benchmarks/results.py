"""The file of a run: JSON, with a version, checked against ``results.schema.json``.

The check knows as much of JSON Schema as that file uses, so that nothing needs to be installed.
"""

import json
import os
from pathlib import Path

SCHEMA_VERSION = 1
SCHEMA = Path(__file__).with_name("results.schema.json")

TYPES = {
    "object": dict, "array": list, "string": str, "boolean": bool, "null": type(None),
    "number": (int, float), "integer": int,
}  # fmt: skip
KNOWN = {"$schema", "title", "type", "required", "properties", "additionalProperties", "items",
         "enum", "const", "minimum"}  # fmt: skip


class BadResults(ValueError):
    """A file that is no result of a run, or one of another version."""


def _is(value, name):
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, TYPES[name])


def violations(value, schema, where="results"):
    """All that is wrong with a value, as lines that say where."""
    if unknown := schema.keys() - KNOWN:
        raise NotImplementedError(f"the schema uses {sorted(unknown)}, which this check ignores")
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    if types and not any(_is(value, name) for name in types):
        return [f"{where} must be {' or '.join(types)}, got {type(value).__name__}"]
    wrong = []
    if "const" in schema and value != schema["const"]:
        wrong.append(f"{where} must be {schema['const']!r}, got {value!r}")
    if "enum" in schema and value not in schema["enum"]:
        wrong.append(f"{where} must be one of {schema['enum']}, got {value!r}")
    if "minimum" in schema and value is not None and not value >= schema["minimum"]:
        wrong.append(f"{where} must be at least {schema['minimum']}, got {value!r}")
    if isinstance(value, list) and "items" in schema:
        for k, item in enumerate(value):
            wrong += violations(item, schema["items"], f"{where}[{k}]")
    if isinstance(value, dict):
        wrong += _violations_of_object(value, schema, where)
    return wrong


def _violations_of_object(value, schema, where):
    wrong = [f"{where} lacks {k!r}" for k in schema.get("required", ()) if k not in value]
    properties, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    for k, item in value.items():
        if k in properties:
            wrong += violations(item, properties[k], f"{where}.{k}")
        elif isinstance(others, dict):
            wrong += violations(item, others, f"{where}.{k}")
        elif not others:
            wrong.append(f"{where} has an unknown {k!r}")
    return wrong


def check(results):
    """Raise `BadResults` that says what is wrong, if anything is."""
    if not isinstance(results, dict) or "schema_version" not in results:
        raise BadResults("no results of this benchmark: there is no schema_version")
    if results["schema_version"] != SCHEMA_VERSION:
        raise BadResults(
            f"written in version {results['schema_version']} of the format; this benchmark reads "
            f"version {SCHEMA_VERSION}"
        )
    wrong = violations(results, json.loads(SCHEMA.read_text(encoding="utf-8")))
    if wrong:
        raise BadResults("; ".join(wrong[:5]))


def load(path):
    try:
        results = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadResults(f"{path}: {error}") from error
    try:
        check(results)
    except BadResults as error:
        raise BadResults(f"{path}: {error}") from error
    return results


def save(results, path):
    """Write the file whole or not at all; NaN and infinity do not exist in JSON."""
    check(results)
    text = json.dumps(results, indent=1, allow_nan=False)
    temporary = Path(f"{path}.unfinished")
    temporary.write_text(text + "\n", encoding="utf-8")
    os.replace(temporary, path)
