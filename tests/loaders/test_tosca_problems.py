"""What an author is told."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from aria_core import LoadError
from aria_plugins.loaders.tosca import ToscaLoader


def test_all_problems_are_told_at_once_in_the_order_of_their_lines(refuse):
    assert refuse("""
        node_types:
          T: {derived_from: tosca.nodes.Rot, propertys: {}}
        topology_template:
          node_templates:
            a: {type: T, properties: {x: 1}}
            b:
              type: Compute
              capabilities: {host: {properties: {num_cpus: two}}}
              requirements: [hots: a]
          outputs:
            o: {value: {get_input: prot}}
          inputs:
            port: {type: integer, default: eighty}
        """) == [
        "service.yaml:3:21: node type `T` is derived from `tosca.nodes.Rot`, but there is no such node type; "
        "did you mean `tosca.nodes.Root`?",
        "service.yaml:3:38: unknown keyname `propertys` in the node type `T`; did you mean `properties`?",
        "service.yaml:6:31: node template `a` has no property `x`; it takes none",
        "service.yaml:9:52: the property `num_cpus` of the capability `host` of node template `b` is the "
        "text `two`; "
        "its type integer takes a whole number",
        "service.yaml:10:22: node template `b` has no requirement `hots`; its requirements are dependency, "
        "local_storage",
        "service.yaml:12:28: there is no input `prot`; did you mean `port`?",
        "service.yaml:14:36: the input `port` is the text `eighty`; its type integer takes a whole number",
    ]


NODE = "topology_template: {node_templates: {n: {type: tosca.nodes.Root, %s}}}"
OUTPUT = "topology_template: {node_templates: {n: {type: Root}}, outputs: {o: {value: {%s}}}}"


@pytest.mark.parametrize(("text", "place", "words"), [
    ("a: b: c", "2:5", "not valid YAML: mapping values are not allowed"),
    ("a: *b", "2:4", "not valid YAML: found undefined alias"),
    ("description: x\ndescription: y", "3:1", "the key `description` stands here for the second time"),
    ("[a]: b", "2:1", "a key must be text"),
    ("description: !new x", "2:14", "the YAML tag `!new` means nothing here"),
    ("descripton: x", "2:1", "unknown keyname `descripton` in the service template; did you mean "
     "`description`?"),
    ("description: {a: b}", "2:14", "`description` of the service template is a map; it takes text"),
    ("node_types: {A: {derived_from: B}, B: {derived_from: A}}", "2:14", "in a loop: A -> B -> A"),
    ("node_types: {A: {properties: {p: {type: sting}}}}", "2:41",
     "no such data type; did you mean `string`?"),
    ("node_types: {A: {properties: {p: {type: integer, default: x}}}}", "2:59", "takes a whole number"),
    ("node_types: {A: {properties: {p: {type: string, constraints: [{patern: x}]}}}}", "2:64",
     "unknown constraint `patern`"),
    ("node_types: {A: {properties: {p: {type: string, constraints: [{pattern: '('}]}}}}", "2:73",
     "takes a regular expression"),
    ("node_types: {A: {properties: {p: {}}}}", "2:31", "lacks the keyname `type`"),
    ("node_types: {A: {capabilities: {c: Nope}}}", "2:36", "there is no such capability type"),
    ("node_types: {A: {requirements: [{r: Nope}]}}", "2:37", "there is no such capability type"),
    ("node_types: {A: {interfaces: {i: {type: Nope}}}}", "2:41", "there is no such interface type"),
    ("data_types: {D: {derived_from: string, properties: {}}}", "2:32", "cannot have properties"),
    ("topology_template: {node_templates: {n: {properties: {}}}}", "2:38", "node template `n` lacks the "
     "keyname `type`"),
    ("topology_template: {node_templates: {n: {type: Compue}}}", "2:48", "did you mean `Compute`?"),
    ("topology_template: {node_templates: {SELF: {type: Root}}}", "2:38", "no node template may be called "
     "SELF"),
    ('topology_template: {node_templates: {"a\\tb": {type: Root}}}', "2:38", "is no name"),
    ("metadata: {template_name: ' x'}", "2:27", "is no name"),
    (NODE % "attributes: {x: 1}", "2:79", "has no attribute `x`"),
    (NODE % "capabilities: {x: {}}", "2:81", "has no capability `x`"),
    (NODE % "interfaces: {Standrad: {}}", "2:79", "has no interface `Standrad`; did you mean `Standard`?"),
    (NODE % "interfaces: {Standard: {operations: {creat: {}}}}", "2:103",
     "no operation `creat`; did you mean `create`?"),
    (NODE % "interfaces: {Standard: {operations: {create: ../../run.sh}}}", "2:111", "there is no script"),
    (NODE % "interfaces: {Standard: {operations: {create: 'p > m.f'}}}", "2:111",
     "there is no plugin `p`; a policy of type aria.Plugin, of the import aria-1.0, declares it"),
    (NODE % "requirements: [{dependency: m}]", "2:94", "there is neither a node template nor a node type"),
    ("topology_template: {node_templates: {w: {type: WebServer}}}", "2:38", "and no node template has it"),
    ("topology_template: {node_templates: {d: {type: tosca.nodes.ObjectStorage}}}", "2:38",
     "node template `d` lacks the property `name`, which its type requires"),
    ("topology_template: {outputs: {o: {value: {get_attribute: [x, y]}}}}", "2:59", "there is no node "
     "template `x`"),
    ("topology_template: {outputs: {o: {value: {get_attribute: [SELF, y]}}}}", "2:59",
     "there is no node template `SELF`"),
    ("topology_template: {outputs: {o: {value: {get_property: [x]}}}}", "2:42", "`get_property` takes an "
     "entity and"),
    ("topology_template: {outputs: {o: {value: {concat: []}}}}", "2:42", "`concat` takes at least one text"),
    ("topology_template: {outputs: {o: {value: {token: [a, b, c]}}}}", "2:57", "is the number of a piece"),
    ("topology_template: {outputs: {o: {value: {get_operation_output: [a, b, c]}}}}", "2:42",
     "`get_operation_output` takes an entity, an interface, an operation and the name of an output"),
    ("topology_template: {outputs: {o: {value: {get_operation_output: [a, b, c, d]}}}}", "2:66",
     "there is no node template `a`"),
    (OUTPUT % "get_operation_output: [n, Standrd, create, x]", "2:104",
     "has no interface `Standrd`; did you mean `Standard`?"),
    (OUTPUT % "get_operation_output: [n, Standard, creat, x]", "2:114",
     "the interface `Standard` has no operation `creat`; did you mean `create`?"),
    ("topology_template: {outputs: {o: {value: {get_nodes_of_type: Compue}}}}", "2:62",
     "names the type `Compue`, but there is no such node type; did you mean `Compute`?"),
    ("topology_template: {outputs: {o: {value: {get_nodes_of_type: [[a]]}}}}", "2:63",
     "takes the name of a node type"),
    ("node_types: {A: {properties: {p: 5}}}", "2:31", "lacks the keyname `type`"),
    ("interface_types: {I: {op: {implementation: a.sh}}}", "2:28", "unknown keyname `implementation`"),
    ("interface_types: {I: {op: {inputs: {i: {type: integer}}}}, J: {derived_from: I, op: {inputs: "
     "{i: {type: string}}}}}", "2:105", "refines one of type `integer`"),
    ("data_types: {D: {constraints: []}}", "2:18", "take a data type that is derived from a native one"),
    ("node_types: {A: {artifacts: {a: {type: File, file: f, repository: r}}}}", "2:67",
     "is in `r`, but there is no repository of this name"),
    ("node_types: {A: {properties: {p: {type: map, constraints: [in_range: [{a: 1}, {a: 2}]]}}}}", "2:70",
     "it takes a list of a lower and an upper bound"),
    ("node_types: {A: {requirements: [r: tosca.capabilities.Nodde]}}", "2:36",
     "no such capability type; did you mean `tosca.capabilities.Node`?"),
    (NODE % "requirements: [{dependency: {node: Compute, capability: x}}]", "2:122",
     "there is neither a capability nor a capability type of this name"),
    ("topology_template: {node_templates: {w: {type: WebServer, requirements: [host: {node: DBMS}]}}}",
     "2:87", "needs a node of type `tosca.nodes.Compute`, from which `tosca.nodes.DBMS` is not derived"),
    ("topology_template: {node_templates: {c: {type: Compute}, w: {type: WebServer, requirements: [host: "
     "{node: c, relationship: DependsOn}]}}}", "2:124",
     "makes relationships of type `tosca.relationships.HostedOn`, from which `tosca.relationships.DependsOn` "
     "is not derived"),
    ("topology_template: {substitution_mappings: {node_type: Compute, requirements: {local_storage: {}}}}",
     "2:95", "it takes a list of a node template and one of its requirements"),
    ("topology_template: {node_templates: {c: {type: Compute}}, substitution_mappings: {node_type: Compute, "
     "capabilities: {os: [c, binding]}}}", "2:122", "stands for the capability type "
     "`tosca.capabilities.OperatingSystem`, but `binding` of node template `c` has"),
    ("topology_template: {inputs: {i: {type: integer, default: 9, constraints: [{less_than: 5}]}}}", "2:58",
     "the input `i` is 9; it must be less than 5"),
    ("topology_template: {groups: {g: {type: tosca.groups.Root, members: [x]}}}", "2:69",
     "has the member `x`"),
    ("topology_template: {policies: [{p: {type: tosca.policies.Scaling, targets: [x]}}]}", "2:77",
     "has the target `x`"),
    ("imports: [nothing.yaml]", "2:11", "there is no file nothing.yaml"),
    ("imports: ['http://example.org/types.yaml']", "2:11", "is a URL"),
    ("imports: [/etc/passwd]", "2:11", "is an absolute path"),
    ("imports: [service.yaml]", "2:11", "in a loop: service.yaml -> service.yaml"),
    ("imports: [{file: a.yaml, repository: r}]", "2:38", "there is no repository `r`"),
    ("repositories: {r: 'https://me:key@host/x?token=1'}\nimports: [{file: a.yaml, repository: r}]", "3:11",
     "`a.yaml` of the repository `r` is at https://host/x, and nothing is fetched from there"),
    ("repositories: {r: {url: sub}}\nimports: [{file: a.yaml, repository: r}]", "3:18",
     "there is no file "),
])
def test_a_problem_is_told_where_it_is(refuse, text, place, words):
    assert [each for each in refuse(text) if each.startswith(f"service.yaml:{place}: ")
            and words in each], refuse(text)


@pytest.mark.parametrize(("head", "words"), [
    ("", "lacks the keyname `tosca_definitions_version`; known versions are tosca_simple_yaml_1_0"),
    ("tosca_definitions_version: tosca_simple_yaml_1_9", "no version of TOSCA that is known here"),
    ("description: x\ntosca_definitions_version: tosca_simple_yaml_1_3", "must be the first keyname"),
    ("- a list", "a service template is a map that begins with tosca_definitions_version"),
])
def test_the_version_comes_first_and_is_known(refuse, head, words):
    problem, = refuse(head or "description: x", version="")[:1]
    assert words in problem


def test_keynames_belong_to_versions(refuse, load):
    text = "data_types: {D: {derived_from: list, key_schema: string}}"
    assert load(text, "1_3")
    assert "unknown keyname `key_schema`" in refuse(text, "1_0")[0]


def test_a_missing_script_is_a_warning_for_each_operation_that_names_it(load):
    loaded = load(NODE % "interfaces: {Standard: {operations: {create: a.sh, start: scripts/b.sh}}}")
    assert [each.partition(": ")[2] for each in loaded.warnings] == [
        "there is no script `a.sh` among the template's files; the operation fails when it is run",
        "there is no script `scripts/b.sh` among the template's files; the operation fails when it is run"]
    assert [each.partition(";")[0] for each in loaded.warnings] == loaded.missing
    assert [each.rpartition("service.yaml:")[2].partition(": ")[0] for each in loaded.warnings] == [
        "2:111", "2:124"]
    operations = loaded.template.nodes["n"].interfaces["Standard"].operations
    assert [operations[each].script for each in ("create", "start")] == ["a.sh", "scripts/b.sh"]


def test_a_missing_script_of_an_imported_file_lies_beside_that_file(load):
    files = {"sub/types.yaml": "node_types: {A: {derived_from: Compute, interfaces: {Standard: "
             "{operations: {create: a.sh}}}}}"}
    text = "imports: [sub/types.yaml]\ntopology_template: {node_templates: {n: {type: A}}}"
    loaded = load(text, files=files)
    assert loaded.template.nodes["n"].interfaces["Standard"].operations["create"].script == "sub/a.sh"


def test_a_requirement_that_names_a_type_of_which_there_is_no_node_is_a_warning(load):
    loaded = load(NODE % "requirements: [{dependency: WebServer}]")
    sentence, = loaded.template.unsatisfied
    assert "2:94: the requirement `dependency` of node template `n` needs a node of type" in sentence
    assert sentence.endswith("and no node template has it")
    assert loaded.warnings == [f"{sentence}; until then no service can be made of the template"]


def test_problems_of_imported_files_name_those_files(refuse):
    files = {"sub/types.yaml": "tosca_definitions_version: tosca_simple_yaml_1_3\nnode_types: {A: "
             "{derived_from: B}}"}
    assert refuse("imports: [sub/types.yaml]", files=files) == [
        "sub/types.yaml:2:32: node type `A` is derived from `B`, but there is no such node type"]


BROKEN = """
node_types:
  Used: {derived_from: tosca.nodes.Root}
  Broken:
    derived_from: Used
    propertys: {}
    properties:
      p: {type: int, required: false}
"""


def test_what_is_wrong_in_an_imported_type_that_nothing_uses_is_a_warning(load):
    loaded = load("imports: [t.yaml]\ntopology_template: {node_templates: {n: {type: Used}}}",
                  files={"t.yaml": BROKEN})
    assert [each.rpartition("t.yaml:")[2] for each in loaded.warnings] == [
        "6:5: unknown keyname `propertys` in the node type `Broken`; did you mean `properties`? (nothing "
        "here uses this type)",
        "8:17: this value has the type `int`, but there is no such data type (nothing here uses this type)"]


@pytest.mark.parametrize("text", [
    "imports: [t.yaml]\ntopology_template: {node_templates: {n: {type: Broken}}}",
    "imports: [t.yaml]\nnode_types: {A: {derived_from: Broken}}",
    "imports: [t.yaml]\nnode_types: {A: {requirements: [r: {capability: tosca.capabilities.Node, "
    "node: Broken}]}}",
])
def test_what_is_wrong_in_an_imported_type_that_is_used_is_refused(refuse, text):
    assert [each.partition(": ")[0] for each in refuse(text, files={"t.yaml": BROKEN})] == [
        "t.yaml:6:5", "t.yaml:8:17"]


def test_a_key_that_stands_twice_in_metadata_is_a_warning(load):
    loaded = load("metadata:\n  author: first\n  author: second\n")
    assert loaded.template.metadata == {"author": "first"}
    assert loaded.warnings[0].endswith(":4:3: the key `author` stands here for the second time; the first is "
                                       "on line 3, and is the one that counts")


def test_files_that_import_each_other_are_a_loop_that_is_named(refuse):
    files = {"a.yaml": "imports: [b.yaml]", "b.yaml": "imports: [a.yaml]"}
    assert "in a loop: a.yaml -> b.yaml -> a.yaml" in refuse("imports: [a.yaml]", files=files)[0]


def test_several_targets_that_fit_are_listed(load):
    problem, = load("""
        topology_template:
          node_templates:
            a: {type: Compute}
            b: {type: Compute}
            w: {type: WebServer}
        """).template.unsatisfied
    assert "service.yaml:6:5: " in problem
    assert problem.endswith("several have it: a, b; name one of them")


def test_nodes_that_are_hosted_on_each_other_are_named(refuse):
    problem, = refuse("""
        node_types:
          Box:
            capabilities: {room: tosca.capabilities.Container}
            requirements: [host: {capability: tosca.capabilities.Container, relationship: HostedOn}]
        topology_template:
          node_templates:
            a: {type: Box, requirements: [host: b]}
            b: {type: Box, requirements: [host: a]}
        """)
    assert problem == "service.yaml:8:5: these node templates are hosted on each other: a -> b -> a"


def test_properties_that_need_each_other_are_named(refuse):
    problem, = refuse("""
        node_types:
          T: {derived_from: Root, properties: {x: {type: string}, y: {type: string, required: false}}}
        topology_template:
          node_templates:
            a: {type: T, properties: {x: {get_property: [b, y]}, y: {get_property: [SELF, x]}}}
            b: {type: T, properties: {x: free, y: {concat: [a, {get_property: [a, y]}]}}}
            c: {type: T, properties: {x: {get_property: [a, x]}, y: {get_property: [b, x]}}}
        """)
    assert problem == "service.yaml:6:34: these properties need each other: a.x -> b.y -> a.y -> a.x"


def test_files_that_cannot_be_read_are_one_sentence(tmp_path):
    for name in ("missing.yaml", "."):
        with pytest.raises(LoadError) as caught:
            ToscaLoader().load(tmp_path / name, Path.read_bytes)
        assert len(caught.value.problems) == 1


def test_metadata_that_are_text_are_passed_over(load):
    warning, = load("metadata: all of it\ntopology_template: {}").warnings
    assert warning.endswith(":2:11: `metadata` of the service template is the text `all of it`, which is "
                            "passed over; it takes a map")


def test_only_yaml_that_says_its_version_is_recognised(tmp_path):
    for name, text in (("a.yaml", "tosca_definitions_version: x"), ("b.yaml", "x: y"), ("c.txt", "")):
        (tmp_path / name).write_text(text)
    recognised = [ToscaLoader().recognises(tmp_path / name)
                  for name in ("a.yaml", "b.yaml", "c.txt", "none.yaml")]
    assert recognised == [True, False, False, False]
    assert not ToscaLoader().recognises(tmp_path)


def bombs() -> dict[str, str]:
    aliases = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
    defaults = "T0: {properties: {x: {type: string, default: y}}}\n" + "".join(
        f"  T{n}: {{properties: {{a: {{type: T{n - 1}, default: {{}}}}, b: {{type: T{n - 1}, default: "
        f"{{}}}}}}}}\n"
        for n in range(1, 60))
    chain = "".join(f"  T{n}: {{derived_from: T{n + 1}}}\n" for n in range(3000))
    return {
        "aliases": "dsl_definitions:\n" + "".join(f"  {line}\n" for line in aliases.splitlines()),
        "an alias in itself": "dsl_definitions: &a [*a]",
        "depth": "dsl_definitions: " + "[" * 5000 + "]" * 5000,
        "defaults": f"data_types:\n  {defaults}node_types: {{N: {{properties: {{p: {{type: T59}}}}}}}}\n"
                    "topology_template: {node_templates: {n: {type: N, properties: {p: {}}}}}",
        "a type in itself": "data_types: {T: {properties: {t: {type: T, default: {}}}}}",
        "a long chain": f"node_types:\n{chain}  T3000: {{}}\n",
        "copies": "topology_template: {node_templates: {" + ", ".join(
            f"n{n}: {{copy: n{n + 1}}}" for n in range(2000)) + ", n2000: {type: Root}}}",
        "many wrong names": "topology_template:\n  node_templates:\n" + "".join(
            f"    node{n}: {{type: Root, requirements: [dependency: nude{n}]}}\n" for n in range(4000)),
        "NUL": 'description: "a\\0b"',
        "a number without end": "dsl_definitions: .inf",
        "many digits": f"topology_template: {{inputs: {{i: {{type: integer, default: {'9' * 5000}}}}}}}",
    }


@pytest.mark.parametrize("name", bombs())
def test_hostile_templates_are_refused_quickly_with_a_place(refuse, name):
    begun = time.process_time()
    problems = refuse(bombs()[name])
    assert problems
    assert all(each.startswith("service.yaml:") for each in problems)
    assert len(problems) <= 1001
    assert time.process_time() - begun < 15


def test_a_pattern_that_could_take_for_ever_is_not_tried(load):
    loaded = load(f"topology_template: {{inputs: {{i: {{type: string, default: {'a' * 40}, "
                  "constraints: [pattern: '(a|a)*b']}}}")
    assert "is not checked against its pattern" in loaded.warnings[0]


def test_a_file_over_the_limit_is_refused():
    with pytest.raises(LoadError, match="at most 10,000,000 are read"):
        ToscaLoader().load(Path("service.yaml"), lambda path: b"#" * 10_000_001)


def test_a_thousand_nodes_load_in_linear_time(load):
    def seconds(count: int) -> float:
        nodes = "".join(f"    n{n}:\n      type: Compute\n      capabilities:\n        host:\n          "
                        "properties:\n"
                        f"            num_cpus: 2\n            mem_size: 4 GB\n      requirements:\n"
                        f"      - dependency: n{n - 1}\n      description: one\n" for n in range(1, count))
        begun = time.process_time()
        loaded = load("topology_template:\n  node_templates:\n    n0: {type: Compute}\n" + nodes)
        assert len(loaded.template.nodes) == count
        return time.process_time() - begun

    assert seconds(1000) < 3


FIVE_FAULTS = """\
node_types:
  Server:
    derived_from: Compute
    properties:
      ports: {type: list, entry_schema: {type: integer}}
      mode: {type: string, constraints: [{valid_values: [on-demand, always]}], default: always}
    requirements:
    - storage: {capability: tosca.capabilities.Attachment, occurrences: [0, 2]}
topology_template:
  inputs:
    size: {type: integer, default: 3}
  node_templates:
    one:
      type: Server
      properties:
        ports: [80, https]
        mode: sometimes
      requirements:
      - storrage: disk
    disk:
      type: BlockStorage
      properties:
        size: {get_input: sise}
      atributes: {}
  outputs:
    address: {value: {get_attribute: [one, private_address]}}
"""


def test_five_faults_are_told_at_once_each_at_its_line(refuse):
    told = refuse(FIVE_FAULTS)
    assert [int(each.split(":")[1]) for each in told] == [17, 18, 20, 24, 25], told
    assert [word in each for word, each in zip(
        ("`https`", "'sometimes'", "`storage`", "`size`", "`attributes`"), told, strict=True)] == [True] * 5
