"""Hundreds of texts as sqlmap sends them: each is a value like any other, or refused, and does nothing."""

from __future__ import annotations

from itertools import product

import pytest

from aria_core.exceptions import StorageError
from aria_core.modeling.models import ServiceTemplate
from aria_core.storage.model import ModelStorage
from aria_core.testing.sample import elsewhere

QUOTES = [("'", " -- "), ("'", "#"), ("')", " -- "), ("'))", "/*"), ('"', ' -- '), ('")', ' AND ("a"="a'),
          ("", ""), ("\\'", ";\r\n"), ("%' ", " AND '%'='")]
BODIES = [
    " OR 1=1", " OR 'a'='a'", " AND 1=2", " AND 4211=4211", " OR NOT 4211=4211", " OR name LIKE '%'",
    " UNION SELECT NULL", " UNION ALL SELECT NULL,NULL,NULL", " UNION SELECT id FROM execution",
    " UNION SELECT sqlite_version()", " UNION SELECT version()", " ORDER BY 99", " GROUP BY 1 HAVING 1=1",
    " AND (SELECT COUNT(*) FROM sqlite_master)>0", " AND EXTRACTVALUE(1,CONCAT(0x7e,version()))",
    " AND 1=CAST((SELECT current_user) AS int)", "; DROP TABLE node", "; DELETE FROM service_template",
    "; UPDATE service_template SET name='x'", "; SELECT pg_sleep(20)", " AND 1=(SELECT 1 FROM pg_sleep(20))",
    " AND 1=LIKE('A',UPPER(HEX(RANDOMBLOB(900000000/2))))", "; ATTACH DATABASE 'x.db' AS x",
    "; COPY node TO PROGRAM 'id'", " AND LOAD_EXTENSION('x')", "||(SELECT '')||", "/**/OR/**/1=1",
    " %55NION %53ELECT 1", "\u02bc OR 1=1", "\uff07 OR 1=1", " :name", " %(name)s", " ?", " $1"]
PAYLOADS = sorted({f"{before}{body}{behind}" for (before, behind), body in product(QUOTES, BODIES)})
NAMES = ["plain", "%", "_____", "'", "x' OR '1'='1"]


@pytest.fixture
def storage(model_storage: ModelStorage) -> ModelStorage:
    for name in NAMES:
        model_storage.service_template.put(ServiceTemplate(name=name))
    return model_storage


def rows(storage: ModelStorage) -> list[str]:
    return sorted(each.name for each in elsewhere(storage.service_template.list))


def test_there_are_two_hundred() -> None:
    assert len(PAYLOADS) >= 200


def test_no_payload_is_more_than_a_value(storage: ModelStorage) -> None:
    table = storage.service_template
    for payload in PAYLOADS:
        for wanted in (payload, [payload], {"eq": payload}, {"ge": payload, "le": payload}):
            assert table.list({"name": wanted}).items == [], payload
        assert len(table.list({"name": {"ne": payload}})) == len(NAMES), payload
        assert [each.name for each in table.list({"name": [payload, "plain"]})] == ["plain"], payload
    assert rows(storage) == sorted(NAMES)


def test_no_payload_is_a_column_an_operator_a_direction_or_a_number(storage: ModelStorage) -> None:
    table = storage.service_template
    for payload in PAYLOADS:
        for asked in ({"filters": {payload: 1}}, {"filters": {f"name{payload}": "x"}},
                      {"filters": {"name": {payload: "x"}}}, {"filters": {"id": payload}},
                      {"sort": {payload: "asc"}}, {"sort": {"name": f"asc{payload}"}},
                      {"pagination": {"size": payload}}, {"pagination": {"offset": payload}},
                      {"pagination": {payload: 1}}):
            with pytest.raises(StorageError):
                table.list(**asked)
    assert rows(storage) == sorted(NAMES)


def test_every_payload_can_be_a_name(storage: ModelStorage) -> None:
    table = storage.service_template
    for payload in PAYLOADS[::3]:
        stored = table.put(ServiceTemplate(name=payload, description=payload))
        assert table.get_by_name(payload).id == stored.id
        assert [each.description for each in table.list({"name": payload})] == [payload]
        table.delete(stored)
    assert rows(storage) == sorted(NAMES)
