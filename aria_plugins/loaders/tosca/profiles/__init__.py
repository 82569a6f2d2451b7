"""The types that ship with the loader, written from the specifications.

They are read anew for each template (some 20 ms), so nothing compiled can be stale.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType

PROFILES: Mapping[str, str] = MappingProxyType({
    "tosca-simple-1.0": "tosca_simple_yaml_1_0",
    "tosca-simple-1.3": "tosca_simple_yaml_1_3",
    "aria-1.0": "tosca_simple_yaml_1_0",
    "tosca-nfv-1.0": "tosca_simple_yaml_1_0",
    "etsi_nfv_sol001_common_types.yaml": "tosca_simple_yaml_1_3",
    "etsi_nfv_sol001_vnfd_types.yaml": "tosca_simple_yaml_1_3",
    "etsi_nfv_sol001_pnfd_types.yaml": "tosca_simple_yaml_1_3",
    "etsi_nfv_sol001_nsd_types.yaml": "tosca_simple_yaml_1_3",
})
"""Import name -> the version whose keynames the profile uses.

Names that end in ``.yaml`` are those of files that specifications publish: a file beside the template wins.
"""

IMPLICIT: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "tosca_simple_yaml_1_0": ("tosca-simple-1.0",),
    "tosca_simple_yaml_1_1": ("tosca-simple-1.0", "tosca-simple-1.3"),
    "tosca_simple_yaml_1_2": ("tosca-simple-1.3", "tosca-simple-1.0"),
    "tosca_simple_yaml_1_3": ("tosca-simple-1.3", "tosca-simple-1.0"),
    "tosca_2_0": (),
    "tosca_simple_profile_for_nfv_1_0": ("tosca-nfv-1.0", "tosca-simple-1.0", "tosca-simple-1.3"),
    "tosca_simple_profile_for_nfv_1_0_0": ("tosca-nfv-1.0", "tosca-simple-1.0", "tosca-simple-1.3"),
    "tosca_simple_profile_for_nfv_1_1": ("tosca-nfv-1.0", "tosca-simple-1.3", "tosca-simple-1.0"),
})
"""Version -> the profiles every template of it has without asking; the first that has a type wins."""


def read_profile(name: str) -> bytes:
    """The text of a profile, whose name is one of `PROFILES`."""
    return files(__package__).joinpath(f"{name.removesuffix('.yaml')}.yaml").read_bytes()
