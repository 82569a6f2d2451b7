"""What comes of a valid template."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

from aria_core import LoadedTemplate, TemplateSpec
from aria_core.modeling.checks import check_template
from aria_plugins.loaders.tosca.keynames import TABLES
from aria_plugins.loaders.tosca.profiles import PROFILES, read_profile

WEB = """
description: A web server on a machine
metadata: {template_name: web-service}
topology_template:
  inputs:
    port: {type: integer, default: 8080, constraints: [in_range: [1, 65535]]}
    image: {type: string}
  node_templates:
    machine:
      type: tosca.nodes.Compute
      attributes: {private_address: 127.0.0.1}
      capabilities:
        host: {properties: {num_cpus: 2, mem_size: 4 GB}}
    web:
      type: WebServer
      properties: {component_version: 1.0}
      requirements:
      - host: machine
      interfaces:
        Standard:
          operations:
            create: scripts/create.sh
            start:
              implementation: {primary: scripts/start.sh, timeout: 30}
              inputs:
                port: {get_input: port}
                url: {concat: ['http://', {get_attribute: [HOST, private_address]}, ':', {get_input: port}]}
  outputs:
    address: {type: string, value: {get_attribute: [machine, private_address]}}
"""
SCRIPTS = {"scripts/create.sh": "", "scripts/start.sh": ""}


@pytest.fixture
def web(load) -> LoadedTemplate:
    return load(WEB, files=SCRIPTS)


def test_a_template_has_its_name_its_description_and_where_its_files_lie(web, tmp_path):
    assert (web.template.name, web.template.description) == ("web-service", "A web server on a machine")
    assert (web.directory, web.main_file, web.warnings) == (str(tmp_path), "service.yaml", [])


def test_a_template_without_a_name_is_called_like_its_file(load):
    assert load("").template.name == "service"


def test_a_node_knows_its_type_with_all_ancestors_nearest_first(web):
    node = web.template.nodes["web"]
    assert node.type == "tosca.nodes.WebServer"
    assert node.types == ["tosca.nodes.WebServer", "tosca.nodes.SoftwareComponent", "tosca.nodes.Root"]


def test_a_node_knows_where_it_stands(web, tmp_path):
    assert web.template.nodes["machine"].location == f"{tmp_path / 'service.yaml'}:9:5"


def test_a_requirement_for_a_host_becomes_a_hosted_relationship(web):
    relationship, = web.template.nodes["web"].relationships
    assert (relationship.name, relationship.target, relationship.capability) == ("host", "machine", "host")
    assert relationship.hosted
    assert relationship.types == ["tosca.relationships.HostedOn", "tosca.relationships.Root"]


def test_another_requirement_is_not_hosted(load):
    relationship, = load("""
        topology_template:
          node_templates:
            a: {type: Root}
            b: {type: Root, requirements: [dependency: a]}
        """).template.nodes["b"].relationships
    assert (relationship.type, relationship.hosted) == ("tosca.relationships.DependsOn", False)


def test_capability_properties_are_overridden_and_their_defaults_kept(web):
    capabilities = web.template.nodes["machine"].capabilities
    assert {name: each.value for name, each in capabilities["host"].properties.items()} == {
        "num_cpus": 2, "mem_size": "4 GB"}
    assert capabilities["endpoint"].properties["secure"].value is True


def test_a_version_stays_as_it_was_written(web):
    assert web.template.nodes["web"].properties["component_version"].value == "1.0"


def test_a_static_value_is_not_dynamic_and_an_expression_is(web):
    operation = web.template.nodes["web"].interfaces["Standard"].operations["start"]
    assert operation.inputs["port"].dynamic
    assert operation.inputs["port"].value == {"$get_input": ["port"]}
    assert operation.inputs["url"].value == {"$concat": [
        "http://", {"$get_attribute": ["HOST", "private_address"]}, ":", {"$get_input": ["port"]}]}
    assert not web.template.nodes["machine"].attributes["private_address"].dynamic


def test_operations_name_their_scripts_relative_to_the_folder(web):
    operations = web.template.nodes["web"].interfaces["Standard"].operations
    assert operations["create"].script == "scripts/create.sh"
    assert operations["start"].timeout == 30
    assert list(operations) == ["create", "configure", "start", "stop", "delete"]
    assert (operations["stop"].script, operations["stop"].function) == (None, None)


def test_inputs_have_types_defaults_and_constraints(web):
    port, image = web.template.inputs["port"], web.template.inputs["image"]
    assert (port.type, port.value, port.constraints) == ("integer", 8080, [{"in_range": [1, 65535]}])
    assert (image.type, image.value, image.required) == ("string", None, True)


def test_outputs_are_typed_expressions(web):
    output = web.template.outputs["address"]
    assert (output.type, output.dynamic) == ("string", True)


def test_the_core_accepts_what_comes_out_and_it_survives_json(web):
    check_template(web.template)
    assert msgspec.json.decode(msgspec.json.encode(web.template), type=TemplateSpec) == web.template


def test_literal_keys_with_a_dollar_are_doubled_in_dynamic_values_only(load):
    node = load("""
        node_types: {T: {properties: {a: {type: map}, b: {type: map}}}}
        topology_template:
          inputs: {i: {type: string, default: x}}
          node_templates:
            n: {type: T, properties: {a: {$k: 1}, b: {$k: {get_input: i}}}}
        """).template.nodes["n"]
    assert node.properties["a"].value == {"$k": 1}
    assert node.properties["b"].value == {"$$k": {"$get_input": ["i"]}}


def test_a_target_can_be_named_by_its_type_when_exactly_one_fits(load):
    template = load("""
        topology_template:
          node_templates:
            machine: {type: Compute}
            web: {type: WebServer, requirements: [host: Compute]}
            bare: {type: WebServer}
        """).template
    assert [template.nodes[name].relationships[0].target for name in ("web", "bare")] == ["machine"] * 2


def test_a_node_filter_chooses_among_the_nodes_that_fit(load):
    node = load("""
        topology_template:
          node_templates:
            small: {type: Compute, capabilities: {host: {properties: {mem_size: 1 GB}}}}
            large: {type: Compute, capabilities: {host: {properties: {mem_size: 8 GB}}}}
            web:
              type: WebServer
              requirements:
              - host:
                  node_filter:
                    capabilities: [host: {properties: [mem_size: {greater_or_equal: 4096 MB}]}]
        """).template.nodes["web"]
    assert node.relationships[0].target == "large"


RELATED = """
node_types:
  Client:
    derived_from: tosca.nodes.Root
    requirements:
    - server: {capability: tosca.capabilities.Endpoint, relationship: Uses, occurrences: [0, UNBOUNDED]}
relationship_types:
  Uses:
    derived_from: tosca.relationships.ConnectsTo
    properties: {speed: {type: integer, default: 1}}
topology_template:
  node_templates:
    one: {type: WebApplication, requirements: [host: web]}
    web: {type: WebServer}
    machine: {type: Compute}
    client:
      type: Client
      requirements:
      - server: one
      - server: {node: one, relationship: fast}
      - server:
          node: one
          relationship:
            properties: {speed: 3}
            interfaces:
              Configure:
                operations: {add_source: {implementation: add.sh, inputs: {who: {get_property: [SOURCE, x]}}}}
  relationship_templates:
    fast: {type: Uses, properties: {speed: 2}}
"""


def test_a_relationship_is_a_type_a_template_or_inline(load):
    made = load(RELATED, files={"add.sh": ""}).template.nodes["client"].relationships
    assert [each.properties["speed"].value for each in made] == [1, 2, 3]
    assert {each.type for each in made} == {"Uses"}
    assert made[2].interfaces["Configure"].operations["add_source"].script == "add.sh"


def test_types_inherit_and_refine(load):
    node = load("""
        node_types:
          Base:
            derived_from: tosca.nodes.Root
            properties: {size: {type: integer, default: 1}, name: {type: string, default: base}}
            interfaces:
              Standard:
                operations: {create: {implementation: base.sh, inputs: {a: {type: string, default: x}}}}
          Derived:
            derived_from: Base
            properties: {name: {type: string, default: derived}}
            interfaces: {Standard: {operations: {start: start.sh}}}
        topology_template:
          node_templates:
            n: {type: Derived, interfaces: {Standard: {operations: {create: {inputs: {a: y}}}}}}
        """, files={"base.sh": "", "start.sh": ""}).template.nodes["n"]
    assert {name: each.value for name, each in node.properties.items()} == {"size": 1, "name": "derived"}
    operations = node.interfaces["Standard"].operations
    assert (operations["create"].script, operations["create"].inputs["a"].value) == ("base.sh", "y")
    assert operations["start"].script == "start.sh"


def test_complex_values_get_the_defaults_of_their_fields(load):
    node = load("""
        data_types:
          Address: {properties: {street: {type: string}, zip: {type: integer, default: 1}}}
        node_types: {T: {properties: {where: {type: list, entry_schema: {type: Address}}}}}
        topology_template:
          node_templates: {n: {type: T, properties: {where: [{street: a}, {street: b, zip: 2}]}}}
        """).template.nodes["n"]
    assert node.properties["where"].value == [{"street": "a", "zip": 1}, {"street": "b", "zip": 2}]


@pytest.mark.parametrize(("written", "expected"), [
    ("package.module:function", (None, "package.module:function", None)),
    ("package.module.function", (None, "package.module:function", None)),
    ("mine > package.module.function", ("mine", "package.module:function", None)),
    ("mine > package.module:function", ("mine", "package.module:function", None)),
    ("a/b/run.sh", (None, None, "a/b/run.sh")),
    ("run.sh", (None, None, "run.sh")),
    ("https://host/a/run.sh", (None, None, "https://host/a/run.sh")),
    ("http://host:81/run?a=b", (None, None, "http://host:81/run?a=b")),
])
def test_an_implementation_is_a_script_a_function_or_a_plugins_function(load, written, expected):
    template = load(f"""
        imports: [aria-1.0]
        topology_template:
          node_templates:
            n: {{type: Root, interfaces: {{Standard: {{operations: {{create: "{written}"}}}}}}}}
          policies: [mine: {{type: aria.Plugin, properties: {{version: 1.0}}}}]
        """, files={"a/b/run.sh": "", "run.sh": ""}).template
    operation = template.nodes["n"].interfaces["Standard"].operations["create"]
    assert (operation.plugin, operation.function, operation.script) == expected


def test_an_artifact_may_lie_at_a_url(load):
    template = load("""
        topology_template:
          node_templates:
            n:
              type: Root
              artifacts: {start: {type: tosca.artifacts.Implementation.Bash, file: "https://host/run.sh"}}
              interfaces: {Standard: {operations: {create: start}}}
        """).template
    assert template.nodes["n"].interfaces["Standard"].operations["create"].script == "https://host/run.sh"


def test_dependencies_say_how_an_operation_is_run(load):
    operation = load("""
        topology_template:
          node_templates:
            n:
              type: Root
              interfaces:
                Standard:
                  create:
                    implementation:
                      primary: run.sh
                      dependencies:
                      - aria.max_attempts > 5
                      - aria.retry_interval > 0.5
                      - aria.ignore_failure > true
                      - aria.timeout > 60
                      - process.cwd > /tmp
                      - process.args > [--verbose, 2]
                      - process.env.LANG > C
                      - data.txt
        """, "1_0", {"run.sh": ""}).template.nodes["n"].interfaces["Standard"].operations["create"]
    assert (operation.max_attempts, operation.retry_interval, operation.ignore_failure) == (5, 0.5, True)
    assert operation.timeout == 60
    assert operation.process == {"cwd": "/tmp", "args": ["--verbose", 2], "env": {"LANG": "C"}}


def test_an_artifact_can_be_the_implementation_and_be_read_by_name(load):
    node = load("""
        topology_template:
          node_templates:
            n:
              type: Root
              artifacts: {installer: {type: tosca.artifacts.File, file: bin/install.sh, deploy_path: /opt}}
              interfaces:
                Standard:
                  create: {implementation: installer, inputs: {path: {get_artifact: [SELF, installer]}}}
        """, "1_0", {"bin/install.sh": ""}).template.nodes["n"]
    operation = node.interfaces["Standard"].operations["create"]
    assert (operation.script, operation.inputs["path"].value) == ("bin/install.sh", "bin/install.sh")
    assert (node.artifacts["installer"].file, node.artifacts["installer"].deploy_path) == ("bin/install.sh",
                                                                                           "/opt")


def test_arias_policies_declare_plugins_and_workflows(load):
    template = load("""
        imports: [aria-1.0]
        policy_types:
          Sized:
            derived_from: aria.Workflow
            properties: {size: {type: integer, required: true, default: 3}}
        topology_template:
          policies:
          - tool: {type: aria.Plugin, properties: {version: 1.2, enabled: false}}
          - grow: {type: Sized, properties: {implementation: "workflows:grow"}}
          - greet: {type: aria.Workflow, properties: {implementation: workflows.greet, name: World}}
        """, "1_0").template
    assert (template.plugins["tool"].version, template.plugins["tool"].enabled) == ("1.2", False)
    grow, greet = template.workflows["grow"], template.workflows["greet"]
    assert (grow.function, grow.inputs["size"].type, grow.inputs["size"].value) == ("workflows:grow",
                                                                                    "integer", 3)
    assert (greet.function, greet.inputs["name"].value) == ("workflows:greet", "World")


def test_types_come_from_imported_files_with_and_without_a_prefix(load):
    files = {"types/a.yaml": "tosca_definitions_version: tosca_simple_yaml_1_3\nimports: [sub/b.yaml]\n"
                             "node_types: {A: {derived_from: B}}\n",
             "types/sub/b.yaml": "tosca_definitions_version: tosca_simple_yaml_1_0\n"
                                 "node_types: {B: {derived_from: tosca.nodes.Root, interfaces: {Standard: "
                                 "{create: b.sh}}}}\n",
             "types/sub/b.sh": ""}
    nodes = load("""
        imports: [types/a.yaml, {file: types/sub/b.yaml, namespace_prefix: p}]
        topology_template: {node_templates: {a: {type: A}, b: {type: "p:B"}}}
        """, files=files).template.nodes
    assert nodes["a"].types == ["A", "B", "tosca.nodes.Root"]
    assert nodes["b"].interfaces["Standard"].operations["create"].script == "types/sub/b.sh"


def test_a_template_may_be_a_copy_of_another(load):
    nodes = load("""
        node_types: {T: {properties: {a: {type: integer}, b: {type: integer}}}}
        topology_template:
          node_templates:
            one: {type: T, properties: {a: 1, b: 2}}
            two: {copy: one, properties: {b: 3}}
        """).template.nodes
    assert {name: each.value for name, each in nodes["two"].properties.items()} == {"a": 1, "b": 3}


def test_anchors_and_merge_keys_work(load):
    node = load("""
        dsl_definitions: {common: &common {a: 1, b: 2}}
        node_types: {T: {properties: {a: {type: integer}, b: {type: integer}}}}
        topology_template: {node_templates: {n: {type: T, properties: {<<: *common, b: 3}}}}
        """).template.nodes["n"]
    assert (node.properties["a"].value, node.properties["b"].value) == (1, 3)


def test_what_has_no_effect_yet_is_a_warning(load):
    loaded = load("""
        topology_template:
          node_templates: {m: {type: Compute}}
          policies: [p: {type: tosca.policies.Scaling, targets: [m]}]
        """)
    assert len(loaded.warnings) == 1
    assert loaded.warnings[0].endswith(":4:14: policy `p` of type `tosca.policies.Scaling` has no effect yet")


@pytest.mark.parametrize(("text", "words"), [
    ("node_templates: {n: {type: Root, directives: [select]}}",
     "the directive `select` has no effect yet; nodes are always created"),
    ("node_templates: {n: {type: Root, directives: [substitute]}}",
     "another template is to stand for node template `n`, and none of the imported templates does; until "
     "then no service can be made of the template"),
    ("policies: [p: {type: tosca.policies.acme.Watch, properties: {often: true}}]",
     "policy `p` has the type `tosca.policies.acme.Watch`, which none of the profiles known here has; what "
     "it means is passed over"),
])
def test_what_is_only_described_is_a_warning(load, text, words):
    warning, = load(f"topology_template: {{{text}}}").warnings
    assert warning.endswith(words)


@pytest.mark.parametrize("text", [
    "inputs:", "outputs:", "node_templates:", "groups:", "policies:", "relationship_templates:"])
def test_a_section_with_nothing_below_is_empty(load, text):
    assert load(f"topology_template:\n  {text}\n").template.nodes == {}


def test_an_operation_may_be_an_empty_list(load):
    operations = load("""
        topology_template:
          node_templates:
            n: {type: Root, interfaces: {Standard: {create: [], start: {}, stop: null}}}
        """).template.nodes["n"].interfaces["Standard"].operations
    assert [(operations[each].script, operations[each].function) for each in ("create", "start", "stop")] == [
        (None, None)] * 3


def test_a_derived_type_may_give_an_inherited_property_its_value(load):
    node = load("""
        node_types:
          A: {derived_from: Root, properties: {size: {type: integer}}}
          B: {derived_from: A, properties: {size: 5}}
        topology_template: {node_templates: {n: {type: B}}}
        """).template.nodes["n"]
    assert (node.properties["size"].type, node.properties["size"].value) == ("integer", 5)


def test_a_requirement_with_many_targets_may_be_numbered(load):
    loaded = load("""
        topology_template:
          node_templates:
            m: {type: Compute, requirements: [local_storage1: {node: a, relationship: R},
                                              local_storage_2: {node: b, relationship: R}]}
            a: {type: tosca.nodes.BlockStorage, properties: {size: 1 GB}}
            b: {type: tosca.nodes.BlockStorage, properties: {size: 1 GB}}
          relationship_templates: {R: {type: AttachesTo, properties: {location: /data}}}
        """, "1_0")
    assert [(each.name, each.target) for each in loaded.template.nodes["m"].relationships] == [
        ("local_storage", "a"), ("local_storage", "b")]
    assert [each.partition(": ")[2].partition(",")[0] for each in loaded.warnings] == [
        "`local_storage1` is taken for one more `local_storage`",
        "`local_storage_2` is taken for one more `local_storage`"]


def test_a_node_filter_may_be_a_map(load):
    relationship, = load("""
        topology_template:
          node_templates:
            small: {type: Compute, capabilities: {host: {properties: {num_cpus: 1}}}}
            big: {type: Compute, capabilities: {host: {properties: {num_cpus: 8}}}}
            w:
              type: WebServer
              requirements:
              - host:
                  node_filter:
                    capabilities: [host: {properties: {num_cpus: {greater_than: 4}}}]
        """).template.nodes["w"].relationships
    assert relationship.target == "big"


def test_a_type_may_come_from_the_template_that_imports_the_file_which_names_it(load):
    files = {"pump.yaml": "node_types: {Pump: {derived_from: Root, requirements: [power: {capability: "
             "tosca.capabilities.Node, node: Plant, relationship: Wire}]}}",
             "plant.yaml": "node_types: {Plant: {derived_from: Root}}\n"
             "relationship_types: {Wire: {derived_from: ConnectsTo}}"}
    relationship, = load("""
        imports: [pump.yaml, plant.yaml]
        topology_template:
          node_templates:
            plant: {type: Plant}
            pump: {type: Pump, requirements: [power: plant]}
        """, files=files).template.nodes["pump"].relationships
    assert (relationship.target, relationship.type) == ("plant", "Wire")


def test_a_capability_of_a_type_that_no_profile_has_is_found_by_its_name(load):
    loaded = load("""
        node_types:
          Net: {derived_from: Root, capabilities: {link: tosca.capabilities.network.Linkable}}
          Plug: {derived_from: Root, requirements: [link: {capability: tosca.capabilities.acme.Plug}]}
        topology_template:
          node_templates:
            net: {type: Net}
            plug: {type: Plug, requirements: [link: net]}
        """)
    relationship, = loaded.template.nodes["plug"].relationships
    assert (relationship.target, relationship.capability) == ("net", "link")
    assert "which none of the profiles known here has" in loaded.warnings[0]


@pytest.mark.parametrize(("occurrences", "refused"), [("", False), (", occurrences: [1, 1]", True)])
def test_a_requirement_may_be_given_again_unless_its_definition_says_how_often(
        load, refuse, occurrences, refused):
    text = f"""
        node_types:
          T: {{derived_from: Root, requirements: [r: {{capability: tosca.capabilities.Node{occurrences}}}]}}
        topology_template:
          node_templates:
            a: {{type: Root}}
            t: {{type: T, requirements: [r: a, r: a]}}
        """
    told = refuse(text) if refused else load(text).warnings
    assert "the requirement `r` of node template `t` takes at most 1 target" in told[0]


def test_a_node_that_another_template_stands_for_needs_no_targets(load):
    files = {"pool.yaml": """
        tosca_definitions_version: tosca_simple_yaml_1_3
        node_types: {Pool: {derived_from: tosca.nodes.WebServer}}
        topology_template: {substitution_mappings: {node_type: Pool}}
        """}
    loaded = load("imports: [pool.yaml]\ntopology_template: {node_templates: {p: {type: Pool}}}", files=files)
    assert loaded.template.nodes["p"].relationships == []


@pytest.mark.parametrize(("arguments", "expected"), [
    ("[tie, ready]", {"$get_attribute": ["a", "dependency", "ready"]}),
    ("[tie, colour]", "blue"),
    ("[unused, ready]", False),
    ("[unused, shape, 1, size]", 7),
])
def test_attributes_and_properties_of_relationship_templates_can_be_read(load, arguments, expected):
    output = load(f"""
        relationship_types:
          Tie:
            derived_from: DependsOn
            properties: {{colour: {{type: string, default: blue}}, shape: {{type: list, required: false}}}}
            attributes: {{ready: {{type: boolean, default: false}}}}
        topology_template:
          relationship_templates:
            tie: {{type: Tie}}
            unused: {{type: Tie, properties: {{shape: [1, {{size: 7}}]}}}}
          node_templates:
            a: {{type: Root, requirements: [dependency: {{node: b, relationship: tie}}]}}
            b: {{type: Root}}
          outputs: {{o: {{value: {{get_attribute: {arguments}}}}}}}
        """).template.outputs["o"]
    assert output.value == expected


def test_functions_of_operations_and_types_are_expressions(load):
    outputs = load("""
        topology_template:
          node_templates: {m: {type: Compute}}
          outputs:
            key: {value: {get_operation_output: [m, Standard, create, key]}}
            machines: {value: {get_nodes_of_type: [Compute]}}
        """).template.outputs
    assert outputs["key"].value == {"$get_operation_output": ["m", "Standard", "create", "key"]}
    assert outputs["machines"].value == {"$get_nodes_of_type": ["tosca.nodes.Compute"]}


@pytest.mark.parametrize("version", TABLES)
def test_every_normative_type_can_be_instantiated_as_far_as_it_needs_nothing(load, version):
    nodes = load(f"tosca_definitions_version: {version}\ntopology_template: {{node_templates: {{m: {{type: "
                 "tosca.nodes.Compute}, l: {type: tosca.nodes.LoadBalancer}}}", "").template.nodes
    assert set(nodes) == {"m", "l"}


@pytest.mark.parametrize("version", ["1_0", "1_1", "1_2", "1_3"])
def test_types_of_the_specification_that_are_not_normative_are_there_and_may_be_replaced(load, version):
    nodes = load("""
        node_types: {tosca.nodes.WebServer.Apache: {derived_from: tosca.nodes.WebServer, properties: {
            own: {type: boolean, default: true}}}}
        topology_template:
          node_templates:
            c: {type: Compute}
            web: {type: tosca.nodes.WebServer.Apache, requirements: [host: c]}
            blog:
              type: tosca.nodes.WebApplication.WordPress
              requirements: [host: web, database_endpoint: db]
            db: {type: tosca.nodes.Database.MySQL, properties: {name: n}, requirements: [host: dbms]}
            dbms: {type: tosca.nodes.DBMS.MySQL, properties: {root_password: x}, requirements: [host: c]}
            node: {type: tosca.nodes.WebServer.Nodejs, requirements: [host: c]}
        """, version).template.nodes
    assert nodes["web"].properties["own"].value is True
    assert nodes["dbms"].properties["port"].value == 3306


def test_a_schema_is_named_and_not_checked(load):
    loaded = load("""
        data_types:
          Config:
            properties:
              text: {type: json, constraints: [schema: '{}'], external-schema: s, default: '[]'}
        topology_template: {inputs: {i: {type: Config, default: {}}}}
        """)
    assert loaded.template.inputs["i"].value == {"text": "[]"}
    assert {each.partition(": ")[2] for each in loaded.warnings} == {
        "the default of the property `text` of data type `Config` is not checked against its schema",
        "the field `text` of the input `i` is not checked against its schema"}


@pytest.mark.parametrize("profile", PROFILES)
def test_the_profiles_that_ship_pass_every_check_of_an_authors_types(load, profile):
    version, _, types = read_profile(profile).decode().partition("\n")
    assert load(types, version.rpartition("yaml_")[2]).template.nodes == {}


def test_python_without_libyaml_reads_the_same(web, tmp_path):
    program = ("import sys; sys.modules['yaml.cyaml'] = None\n"
               "from pathlib import Path; import msgspec\n"
               "from aria_plugins.loaders.tosca import ToscaLoader\n"
               "loaded = ToscaLoader().load(Path(sys.argv[1]), Path.read_bytes)\n"
               "sys.stdout.buffer.write(msgspec.json.encode(loaded))")
    ran = subprocess.run([sys.executable, "-c", program, tmp_path / "service.yaml"], capture_output=True,
                         check=True)
    assert msgspec.json.decode(ran.stdout, type=LoadedTemplate) == web


def test_secrets_are_declared_by_their_type_or_by_metadata(load):
    template = load("""
        node_types:
          Box:
            derived_from: tosca.nodes.Root
            properties:
              password: {type: secret}
              pin: {type: integer, metadata: {secret: "true"}}
            attributes:
              token: {type: secret}
        data_types:
          Key: {derived_from: secret, constraints: [{min_length: 3}]}
        topology_template:
          inputs:
            password: {type: secret, constraints: [{min_length: 4}]}
            key: {type: Key, default: swordfish}
            shown: {type: string, default: x, metadata: {secret: "false"}}
          node_templates:
            box:
              type: Box
              properties: {password: {get_input: password}, pin: 1234}
          outputs:
            token: {value: {get_attribute: [box, token]}, metadata: {secret: "true"}}
        """).template
    assert (template.inputs["password"].type, template.inputs["key"].type) == ("secret", "secret")
    assert not template.inputs["shown"].secret
    box = template.nodes["box"]
    assert (box.properties["password"].type, box.properties["pin"].secret) == ("secret", True)
    assert box.attributes["token"].type == "secret"
    assert template.outputs["token"].secret


def test_a_problem_does_not_tell_the_secret(refuse):
    problems = refuse("""
        topology_template:
          inputs:
            one: {type: secret, default: swordfish, constraints: [{max_length: 3}]}
            two: {type: secret, default: 12345}
        """)
    assert len(problems) == 2
    assert "swordfish" not in str(problems)
    assert "12345" not in str(problems)


def test_a_secret_may_be_named_instead_of_given(load):
    template = load("""
        node_types:
          Box: {derived_from: tosca.nodes.Root, properties: {password: {type: string}}}
        topology_template:
          node_templates:
            box: {type: Box, properties: {password: {get_secret: database}}}
        """).template
    password = template.nodes["box"].properties["password"]
    assert (password.value, password.dynamic) == ({"$get_secret": ["database"]}, True)
