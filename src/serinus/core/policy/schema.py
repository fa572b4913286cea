"""The policy file's JSON Schema, made from the classes that read it."""

from __future__ import annotations

import types
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from typing import Annotated, Any, Union, get_args, get_origin

from serinus.core.analysis.checks import Check
from serinus.core.analysis.queries import Source, SourceType
from serinus.core.analysis.sequential.plan import ErrorHarm, LatencyHarm, MetricHarm, Plan
from serinus.core.codec import also, hints, to_json
from serinus.core.policy.forms import OrOff, WrittenForm
from serinus.core.policy.inputs import (
    CheckInput,
    ErrorsInput,
    HttpInput,
    LatencyInput,
    MetricInput,
    PolicyInput,
    PrometheusInput,
    SqlInput,
)
from serinus.core.policy.presets import DEFAULT

__all__ = ["DIALECT", "form_of", "policy_schema", "schema_of", "written_default"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_SOURCE = Source(name="", type=SourceType.PROMETHEUS)
#: Who knows the defaults of a class whose fields are ``None`` until the preset is asked.
_DEFAULTS: dict[type, tuple[Any, ...]] = {
    PolicyInput: (
        types.SimpleNamespace(preset=DEFAULT.name),
        DEFAULT.judge or Plan(),
        DEFAULT,
    ),
    ErrorsInput: (ErrorHarm(),),
    LatencyInput: (LatencyHarm(),),
    MetricInput: (MetricHarm(name=""),),
    CheckInput: (Check,),
    PrometheusInput: (_SOURCE,),
    HttpInput: (_SOURCE,),
    SqlInput: (_SOURCE,),
}


def policy_schema() -> dict[str, Any]:
    """Return the schema, with descriptions and defaults for editors."""
    return schema_of(PolicyInput, "Serinus policy")


def schema_of(kind: type, title: str) -> dict[str, Any]:
    """Return the schema of a file of ours that is read as ``kind``; all of them have a ``version``."""
    made = _Schema()
    top = made.shape(kind)
    return {
        "$schema": DIALECT,
        "title": title,
        **top,
        "required": ["version"],
        "$defs": dict(sorted(made.shapes.items())),
    }


class _Schema:
    """Collects the shapes that others refer to."""

    def __init__(self) -> None:
        self.shapes: dict[str, Any] = {}

    def shape(self, kind: type) -> dict[str, Any]:
        """Return a dataclass as an object."""
        properties: dict[str, Any] = {}
        for field in fields(kind):
            described = self._property(kind, field)
            if not field.name.endswith("_"):
                properties[field.name] = described
            if also(field):
                other = {} if field.name.endswith("_") else {"deprecated": True}
                properties[also(field)] = {**described, **other}
        made: dict[str, Any] = {
            "description": (kind.__doc__ or "").strip().splitlines()[0],
            "type": "object",
            "properties": properties,
            "additionalProperties": False,
        }
        required = [f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING]
        return {**made, "required": required} if required else made

    def of(self, kind: Any) -> dict[str, Any]:
        """Return what a type takes."""
        origin = get_origin(kind)
        if origin in (Union, types.UnionType):
            return self.of(next(a for a in get_args(kind) if a is not type(None)))
        if origin is Annotated:
            form: WrittenForm = kind.__metadata__[0]
            return form.schema(self.of)
        if origin is tuple:
            return {"type": "array", "items": self.of(get_args(kind)[0])}
        if origin is dict:
            return {"type": "object", "additionalProperties": self.of(get_args(kind)[1])}
        if is_dataclass(kind):
            return self._reference(kind)
        if issubclass(kind, Enum):
            return {"enum": [member.value for member in kind]}
        return {"type": _TYPES[kind]}

    def _reference(self, kind: Any) -> dict[str, Any]:
        name = kind.__name__.removesuffix("Input")
        if name not in self.shapes:
            self.shapes[name] = {}
            self.shapes[name] = self.shape(kind)
        return {"$ref": f"#/$defs/{name}"}

    def _property(self, kind: type, field: Field[Any]) -> dict[str, Any]:
        described = dict(self.of(hints(kind)[field.name]))
        if "doc" in field.metadata:
            described["description"] = field.metadata["doc"]
        default = written_default(kind, field)
        return described if default is None else {**described, "default": default}


def written_default(kind: type, field: Field[Any]) -> Any:
    """Return the default of a key as people write it, or ``None`` when there is none to tell."""
    name = also(field) if field.name.endswith("_") else field.name
    value = None if field.default is MISSING else field.default
    for owner in _DEFAULTS.get(kind, ()):
        for key in (name, also(field)):
            if value is None and key not in ("", "name"):
                value = _known(owner, key)
    form = form_of(hints(kind)[field.name])
    if value is None or value in ("", ()) or is_dataclass(value) or isinstance(form, OrOff):
        return None
    if isinstance(value, tuple) and any(is_dataclass(item) for item in value):
        return None
    return form.show(value) if form else to_json(value)


def _known(owner: Any, key: str) -> Any:
    if not isinstance(owner, type):
        return getattr(owner, key, None)
    found = next((f.default for f in fields(owner) if f.name == key), None)
    return None if found is MISSING else found


def form_of(kind: Any) -> WrittenForm | None:
    """Return the form that is on a type, if there is one."""
    if get_origin(kind) in (Union, types.UnionType):
        kind = next(a for a in get_args(kind) if a is not type(None))
    return kind.__metadata__[0] if get_origin(kind) is Annotated else None


_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number"}
