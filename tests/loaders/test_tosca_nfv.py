"""The NFV profiles: the types that ETSI publishes, and those of TOSCA Simple Profile for NFV 1.0."""

from __future__ import annotations

import pytest

from aria_core.modeling.checks import check_template

ETSI = [f"etsi_nfv_sol001_{part}_types.yaml" for part in ("common", "vnfd", "pnfd", "nsd")]

FIREWALL = """
imports:
- etsi_nfv_sol001_common_types.yaml
- etsi_nfv_sol001_vnfd_types.yaml
node_types:
  acme.Firewall:
    derived_from: tosca.nodes.nfv.VNF
    properties:
      provider: {type: string, default: Acme}
      product_name: {type: string, default: Firewall}
topology_template:
  inputs:
    flavour: {type: string, default: small}
  node_templates:
    firewall:
      type: acme.Firewall
      properties:
        descriptor_id: 5d1a
        descriptor_version: '2.1'
        software_version: '7.0'
        vnfm_info: ['0:acme-manager']
        flavour_id: {get_input: flavour}
        flavour_description: one packet filter
      interfaces:
        Vnflcm: {instantiate: instantiate.sh}
    filter:
      type: tosca.nodes.nfv.Vdu.Compute
      properties:
        name: filter
        description: filters packets
        vdu_profile: {min_number_of_instances: 1, max_number_of_instances: MOST}
      capabilities:
        virtual_compute:
          properties:
            virtual_memory: {virtual_mem_size: 2 GiB}
            virtual_cpu: {num_virtual_cpu: CPUS}
      requirements:
      - virtual_storage: STORAGE
    disk:
      type: tosca.nodes.nfv.Vdu.VirtualBlockStorage
      properties:
        virtual_block_storage_data: {size_of_storage: 20 GiB}
    port:
      type: tosca.nodes.nfv.VduCp
      properties: {layer_protocols: [ipv4], order: 0}
      requirements:
      - virtual_binding: filter
      - virtual_link: inside
    inside:
      type: tosca.nodes.nfv.VnfVirtualLink
      properties:
        connectivity_type: {layer_protocols: [ipv4]}
        vl_profile:
          max_bitrate_requirements: {root: 1000000}
          min_bitrate_requirements: {root: 1000}
  policies:
  - aspects:
      type: tosca.policies.nfv.ScalingAspects
      properties:
        aspects:
          load: {name: load, description: how much it bears, max_scale_level: 2, step_deltas: [more]}
  - more:
      type: tosca.policies.nfv.VduScalingAspectDeltas
      properties: {aspect: load, deltas: {more: {number_of_instances: 1}}}
      targets: [TARGET]
"""


def firewall(most: str = "3", cpus: str = "2", storage: str = "disk", target: str = "filter") -> str:
    """The template with other values."""
    return (FIREWALL.replace("MOST", most).replace("CPUS", cpus).replace("STORAGE", storage)
            .replace("TARGET", target))


@pytest.mark.parametrize("version", ["1_0", "1_1", "1_2", "1_3"])
def test_a_network_function_is_a_template_like_any_other(load, version):
    template = load(firewall(), version, {"instantiate.sh": ""}).template
    check_template(template)
    nodes = template.nodes
    assert nodes["firewall"].types[:2] == ["acme.Firewall", "tosca.nodes.nfv.VNF"]
    assert nodes["firewall"].interfaces["Vnflcm"].operations["instantiate"].script == "instantiate.sh"
    assert nodes["filter"].capabilities["virtual_compute"].properties["virtual_memory"].value == {
        "virtual_mem_size": "2 GiB", "numa_enabled": False}
    assert {name: [(each.name, each.target) for each in node.relationships]
            for name, node in nodes.items()} == {
        "firewall": [], "filter": [("virtual_storage", "disk")], "disk": [], "inside": [],
        "port": [("virtual_binding", "filter"), ("virtual_link", "inside")]}


def test_policies_of_nfv_are_checked_and_have_no_effect_yet(load):
    warnings = load(firewall(), files={"instantiate.sh": ""}).warnings
    assert [each.rpartition(": ")[2] for each in warnings] == [
        "policy `aspects` of type `tosca.policies.nfv.ScalingAspects` has no effect yet",
        "policy `more` of type `tosca.policies.nfv.VduScalingAspectDeltas` has no effect yet"]


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"most": "many"}, "the field `max_number_of_instances` of the property `vdu_profile` of node template "
     "`filter` is the text `many`; its type integer takes a whole number"),
    ({"cpus": "0"}, "it must be greater than 0"),
    ({"storage": "port"}, "needs a capability of type `tosca.capabilities.nfv.VirtualStorage`, but node "
     "template `port` of type `tosca.nodes.nfv.VduCp` has none"),
    ({"target": "disk"}, "`disk` cannot be among the targets of a policy of type "
     "`tosca.policies.nfv.VduScalingAspectDeltas`"),
])
def test_what_does_not_fit_a_type_of_nfv_is_told(refuse, changes, sentence):
    problem, = refuse(firewall(**changes), files={"instantiate.sh": ""})
    assert sentence in problem


@pytest.mark.parametrize("version", ["1_0", "1_1", "1_2", "1_3"])
@pytest.mark.parametrize("name", ETSI)
def test_every_file_that_etsi_publishes_can_be_imported_by_its_name(load, name, version):
    assert load(f"imports: [{name}]", version).warnings == []


def test_a_file_beside_the_template_goes_before_the_bundled_one(load, refuse):
    text = """
        imports: [etsi_nfv_sol001_vnfd_types.yaml]
        topology_template: {node_templates: {n: {type: TYPE}}}
        """
    own = {"etsi_nfv_sol001_vnfd_types.yaml": "imports: [etsi_nfv_sol001_common_types.yaml]\n"
           "node_types: {Mine: {derived_from: tosca.nodes.Root}}"}
    assert load(text.replace("TYPE", "Mine"), files=own).template.nodes["n"].type == "Mine"
    problem, = refuse(text.replace("TYPE", "tosca.nodes.nfv.Mciop"), files=own)
    assert "there is no such node type" in problem


@pytest.mark.parametrize("name", ["etsi_nfv_sol001_types.yaml", "sub/etsi_nfv_sol001_vnfd_types.yaml"])
def test_other_files_that_are_missing_are_refused(refuse, name):
    problem, = refuse(f"imports: [{name}]")
    assert f"there is no file {name}" in problem


def test_a_network_service_may_number_its_levels(load, refuse):
    text = """
        imports: [etsi_nfv_sol001_nsd_types.yaml]
        topology_template:
          policies:
          - scaling:
              type: tosca.policies.nfv.NsScalingAspects
              properties:
                aspects:
                  size:
                    name: size
                    description: how big it is
                    ns_scale_levels: {KEY: {description: small}, 1: {description: big}}
        """
    assert load(text.replace("KEY", "0")).template.nodes == {}
    problem, = refuse(text.replace("KEY", "least"))
    assert "is the text `least`; its type integer takes a whole number" in problem


@pytest.mark.parametrize("version", ["1_0", "1_0_0", "1_1"])
def test_the_older_profile_for_nfv_needs_no_import(load, version):
    template = load(f"""
        tosca_definitions_version: tosca_simple_profile_for_nfv_{version}
        topology_template:
          node_templates:
            router:
              type: tosca.nodes.nfv.VNF
              properties: {{id: r1, vendor: Acme, version: 1.0}}
              requirements: [virtualLink: net]
            unit: {{type: tosca.nodes.nfv.VDU}}
            port:
              type: tosca.nodes.nfv.CP
              requirements: [virtualBinding: unit, virtualLink: net]
            net:
              type: tosca.nodes.nfv.VL
              properties: {{vendor: Acme}}
        """, version="").template
    assert {(name, each.name, each.target) for name, node in template.nodes.items()
            for each in node.relationships} == {
        ("router", "virtualLink", "net"), ("port", "virtualBinding", "unit"), ("port", "virtualLink", "net")}
