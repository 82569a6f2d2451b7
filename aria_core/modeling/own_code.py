"""Whether the operations of a template fit its own functions and scripts, before it is stored."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from aria_core.modeling.checks import operations, owned_operations
from aria_core.modeling.code_search import CodeSearch, Folder, ReadCode, search_path
from aria_core.modeling.scripts import script_problems
from aria_core.modeling.signatures import Refusal
from aria_core.modeling.specification import OperationSpec, ParameterSpec, TemplateSpec
from aria_core.modeling.states import lifecycle_states

_ENDS = ("pre_configure", "post_configure", "add", "remove")
_OF_RELATIONSHIPS = frozenset(f"{step}_{end}" for step in _ENDS for end in ("source", "target"))


def own_code_problems(template: TemplateSpec, read: ReadCode) -> Iterator[tuple[str, str]]:
    """What is wrong between operations and the template's own functions and scripts: (location, sentence).

    `read` gives the files of the template by their paths; nothing of them is run. What a function gets
    from a workflow is not known here, nor what an expression evaluates to.
    """
    search = CodeSearch(Folder(read), search_path(sys.path))
    told = set()
    own = _own_functions(search, template)
    for where, interface, name, operation in owned_operations(template):
        problems: Iterable[tuple[str, str]] = ()
        if operation.script:
            problems = script_problems(operation)
        elif operation.function in own and not operation.plugin:
            is_complete = not template.workflows and _is_called_by_built_in_workflows(interface, name)
            problems = _problems(search, operation, is_complete)
        for location, sentence in problems:
            if (location, sentence) not in told:  # of a type that many nodes have
                told.add((location, sentence))
                yield location, f"{where}: {sentence}"


def _own_functions(search: CodeSearch, template: TemplateSpec) -> set[str]:
    functions = {each.function for _, each in operations(template) if each.function}
    return {each for each in functions if search.is_own(each.partition(":")[0])}


def _problems(search: CodeSearch, operation: OperationSpec, is_complete: bool) -> Iterator[tuple[str, str]]:
    found = search.look_up(operation.function or "")
    if isinstance(found, str):
        yield operation.location, found
    if found is None or isinstance(found, str):
        return
    inputs = operation.inputs
    given = {name: each.value for name, each in inputs.items() if is_passed(each)}
    unknown = [name for name, each in inputs.items() if each.dynamic or each.value is None]
    secret = [name for name, each in inputs.items() if each.secret or each.type == "secret"]
    for refusal in found.refusals(given, unknown_values=unknown, secret=secret):
        if not refusal.is_missing or (is_complete and refusal.argument not in inputs):
            yield _location(operation, refusal), refusal.sentence


def _location(operation: OperationSpec, refusal: Refusal) -> str:
    declared = operation.inputs.get(refusal.argument or "")
    return declared.location if declared is not None and declared.location else operation.location


def is_passed(parameter: ParameterSpec) -> bool:
    """Whether an input is given to its function: an optional one without a value is not."""
    return parameter.value is not None or parameter.required


def _is_called_by_built_in_workflows(interface: str, operation: str) -> bool:
    """They give no arguments of their own."""
    of_node = lifecycle_states(interface, operation) is not None
    is_relationship = interface in ("Configure", "tosca.interfaces.relationship.Configure")
    return of_node or (is_relationship and operation in _OF_RELATIONSHIPS)
