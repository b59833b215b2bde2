# SPDX-License-Identifier: Apache-2.0
"""An OpenAPI document as the linter and the contract test read it."""
import jsonschema
import yaml

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


class _Loader(yaml.SafeLoader):
    """As JSON would be read: no key twice, no dates."""


def _mapping(loader, node):
    keys = [loader.construct_object(key) for key, _ in node.value]
    for key in keys:
        if keys.count(key) > 1:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key} is there twice", node.start_mark)
    return dict(zip(keys, [loader.construct_object(value, deep=True) for _, value in node.value]))


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: node.value)


def parse(text):
    return yaml.load(text, _Loader)


class Document:
    def __init__(self, text):
        self.root = parse(text)

    def find(self, reference):
        """What "#/a/b" names; LookupError where there is nothing."""
        if not reference.startswith("#/"):
            raise LookupError(reference)
        node = self.root
        for part in reference[2:].split("/"):
            node = node[part.replace("~1", "/").replace("~0", "~")]
        return node

    def resolve(self, node):
        while isinstance(node, dict) and "$ref" in node:
            node = self.find(node["$ref"])
        return node

    def operations(self):
        """(method, path, operation) of each, in order."""
        for path, item in self.root["paths"].items():
            for method, operation in item.items():
                if method in METHODS:
                    yield method.upper(), path, operation

    def violations(self, schema, value):
        """Why the value is not what the schema says, one line each."""
        validator = jsonschema.Draft202012Validator({**schema, "components": self.root.get("components", {})})
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]
