"""TOSCA 2.0: what is read, what it becomes, and what is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest

from aria_core import LoadedTemplate, LoadError

HEAD = "tosca_definitions_version: tosca_2_0\n"
SHOP = """
capability_types:
  Endpoint: {properties: {port: {type: integer, default: 80}}}
relationship_types:
  ConnectsTo: {properties: {speed: {type: integer, default: 1}}}
interface_types:
  Lifecycle: {operations: {create: {}, start: {}}}
node_types:
  Database:
    properties:
      name: {type: string, validation: {$greater_or_equal: [{$length: [$value]}, 3]}}
    attributes: {address: {type: string}}
    capabilities: {access: Endpoint}
    interfaces: {Standard: {type: Lifecycle}}
  App:
    properties:
      workers: {type: integer, validation: {$and: [{$greater_than: [$value, 0]}, {$less_than: [$value, 9]}]}}
      database_name: {type: string, required: false}
      $$price: {type: string, default: $$5}
    requirements:
    - database: {capability: Endpoint, node: Database, relationship: ConnectsTo, count_range: [1, 1]}
service_template:
  inputs: {size: {type: integer, default: 2}}
  node_templates:
    shop: {type: Database, properties: {name: shop}}
    app:
      type: App
      properties:
        workers: {$get_input: size}
        database_name: {$get_property: [SELF, RELATIONSHIP, database, 0, TARGET, name]}
      requirements:
      - database: {node: shop, relationship: {type: ConnectsTo, properties: {speed: 7}}}
  outputs:
    where: {value: {$concat: ["http://", {$get_attribute: [shop, address]}, ":",
                              {$get_property: [shop, CAPABILITY, access, port]}]}}
"""
BITRATE = """
data_types:
  Bitrate:
    derived_from: scalar
    data_type: integer
    units: {bps: 1}
    prefixes: {"": 1, k: 1000, M: 1000000}
    validation: {$less_or_equal: [$value, 5 Mbps]}
node_types: {Line: {properties: {speed: {type: Bitrate}}}}
service_template: {node_templates: {line: {type: Line, properties: {speed: %s}}}}
"""


def expression(loaded: LoadedTemplate, node: str, name: str) -> Any:
    return loaded.template.nodes[node].properties[name].value


def test_a_template_becomes_what_one_of_an_older_version_would(load: Any) -> None:
    loaded = load(HEAD + SHOP, version="")
    nodes, outputs = loaded.template.nodes, loaded.template.outputs
    assert nodes["app"].properties["workers"].dynamic
    assert expression(loaded, "app", "workers") == {"$get_input": ["size"]}
    assert expression(loaded, "app", "database_name") == {"$get_property": ["SELF", "database", "name"]}
    relationship, = nodes["app"].relationships
    assert (relationship.target, relationship.type) == ("shop", "ConnectsTo")
    assert relationship.capability == "access"
    assert relationship.properties["speed"].value == 7
    assert outputs["where"].value == {"$concat": [
        "http://", {"$get_attribute": ["shop", "address"]}, ":",
        {"$get_property": ["shop", "access", "port"]}]}
    assert loaded.warnings == []


def test_a_doubled_dollar_is_a_dollar(load: Any) -> None:
    assert expression(load(HEAD + SHOP, version=""), "app", "$price") == "$5"


@pytest.mark.parametrize(("old", "new", "place", "words"), [
    ("name: shop}", "name: ab}", "26:47", "the property `name` of node template `shop` is 'ab'; it"),
    ("size: {type: integer, default: 2}", "size: {type: integer, default: two}", "24:43", "a whole number"),
    ("$get_input: size", "$get_input: sice", "30:31", "there is no input `sice`; did you mean `size`?"),
    ("$concat", "$concta", "35:20", "there is no function `$concta`; did you mean `concat`?"),
    ("count_range: [1, 1]", "occurrences: [1, 1]", "22:82", "unknown keyname `occurrences`"),
    ("node: shop,", "node: shpo,", "33:26", "there is neither a node template nor a node type"),
    ("service_template:", "topology_template:", "23:1", "unknown keyname `topology_template`"),
    ("{access: Endpoint}", "{access: Endpiont}", "14:28", "did you mean `Endpoint`?"),
    ("type: Lifecycle", "type: Livecycle", "15:35", "did you mean `Lifecycle`?"),
    ("validation: {$and: [", "validation: {and: [", "18:44", "a validation clause is a call of a function"),
    ("  inputs: {size", "  inputs:\n    - {size", "25:5", "it takes a map"),
])
def test_a_problem_is_told_where_it_is(refuse: Any, old: str, new: str, place: str, words: str) -> None:
    assert SHOP.count(old) == 1
    problems = refuse(HEAD + SHOP.replace(old, new), version="")
    assert [each for each in problems
            if each.startswith(f"service.yaml:{place}: ") and words in each], problems


@pytest.mark.parametrize("written", ["no", "False", "0", "'true'"])
def test_only_true_and_false_are_booleans(load: Any, refuse: Any, written: str) -> None:
    text = HEAD + ("node_types: {A: {properties: {p: {type: boolean}}}}\n"
                   "service_template: {node_templates: {a: {type: A, properties: {p: %s}}}}")
    assert expression(load(text % "true", version=""), "a", "p") is True
    assert "takes true or false" in refuse(text % written, version="")[0]


def test_null_is_no_empty_section(refuse: Any) -> None:
    assert "service.yaml:2:" in refuse(HEAD + "service_template: {node_templates: }", version="")[0]


@pytest.mark.parametrize("written", ["5 Mbps", "64 kbps", "1bps"])
def test_a_scalar_has_a_number_and_a_unit(load: Any, written: str) -> None:
    assert expression(load(HEAD + BITRATE % written, version=""), "line", "speed") == written


@pytest.mark.parametrize(("written", "words"), [
    ("5", "takes a whole number and one of the units bps, kbps, Mbps"),
    ("1.5 kbps", "takes a whole number"), ("1 Gbps", "one of the units"),
    ("6 Mbps", "must be at most 5000000")])
def test_a_scalar_of_another_unit_or_beyond_its_limits_is_refused(
        refuse: Any, written: str, words: str) -> None:
    problem, = refuse(HEAD + BITRATE % written, version="")
    assert problem.startswith("service.yaml:11:")
    assert words in problem


@pytest.mark.parametrize(("body", "words"), [
    ("{derived_from: string, units: {m: 1}}", "which takes one that is derived from scalar"),
    ("{derived_from: scalar}", "there are no `units`"),
    ("{derived_from: scalar, units: {m: one}}", "is not worth a number"),
    ("{derived_from: scalar, units: {m: 2}}", "none of the units is worth 1"),
    ("{derived_from: scalar, units: {m: 1, n: 1}}", "m, n are all worth 1"),
    ("{derived_from: scalar, units: {m: 1}, canonical_unit: n}", "is none of the units"),
    ("{derived_from: scalar, units: {m: 1}, data_type: string}", "is no number"),
    ("{derived_from: scalar, units: {m: 1, n: 2}, prefixes: {'': 1}}", "take exactly one unit"),
    ("{derived_from: scalar, units: {m: 1}, prefixes: {k: 1000}}", "none of the `prefixes` is worth 1"),
    ("{derived_from: scalar, units: {m: 1}, properties: {}}", "cannot have properties"),
])
def test_units_must_go_together(refuse: Any, body: str, words: str) -> None:
    problems = refuse(f"{HEAD}data_types: {{D: {body}}}", version="")
    assert [each for each in problems if each.startswith("service.yaml:2:") and words in each], problems


def test_what_has_no_effect_yet_is_a_warning(load: Any) -> None:
    loaded = load(HEAD + SHOP.replace("name: shop}}", "name: shop}, count: 2}").replace(
        "{$get_input: size}", "{$node_index: []}"), version="")
    assert [each.partition(": ")[2] for each in loaded.warnings] == [
        "`count` of a node template has no effect yet",
        "the function `$node_index` is not evaluated yet; it has no value"]


def test_a_requirement_makes_a_relationship_though_no_profile_is_imported(load: Any) -> None:
    node = load(HEAD + """
capability_types: {Place: {}}
node_types: {Here: {capabilities: {here: Place}}, There: {requirements: [{on: Place}]}}
service_template: {node_templates: {here: {type: Here}, there: {type: There, requirements: [{on: here}]}}}
""", version="").template.nodes["there"]
    assert [(each.name, each.target) for each in node.relationships] == [("on", "here")]


def test_calculations_are_kept_as_expressions(load: Any, refuse: Any) -> None:
    def outputs(value: str) -> str:
        return HEAD + "service_template: {inputs: {n: {type: integer}}, outputs: {o: {value: " + value + "}}}"

    spec = load(outputs("{$sum: [{$get_input: n}, {$length: [[a, b]]}]}"), version="").template.outputs["o"]
    assert spec.dynamic
    assert spec.value == {"$sum": [{"$get_input": ["n"]}, {"$length": [["a", "b"]]}]}
    found, = refuse(outputs("{$xor: [true]}"), version="")
    assert "`$xor` takes two booleans" in found


def test_a_map_of_version_1_is_no_calculation(load: Any) -> None:
    spec = load("topology_template: {inputs: {o: {type: map, default: {$sum: [1, 2]}}}}").template.inputs["o"]
    assert (spec.value, spec.dynamic) == ({"$sum": [1, 2]}, False)


def test_imports_name_files_profiles_and_namespaces(load: Any) -> None:
    files = {"types.yaml": HEAD + "node_types: {Thing: {}}"}
    loaded = load(HEAD + """
        imports:
        - {url: types.yaml, namespace: my}
        - {profile: "org.oasis-open.simple:2.0"}
        service_template: {node_templates: {thing: {type: my:Thing}, host: {type: Compute}}}
        """.replace("        ", ""), version="", files=files)
    assert loaded.template.nodes["host"].type == "tosca.nodes.Compute"
    assert loaded.template.nodes["thing"].types == ["Thing"]


def test_an_unknown_profile_is_refused_with_those_that_are_known(load: Any) -> None:
    with pytest.raises(LoadError, match=r":2:21: there is no profile `org.nobody:1` here; known are org"):
        load(HEAD + 'imports: [{profile: "org.nobody:1"}]', version="")
