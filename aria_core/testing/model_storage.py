"""The contract of model storages.

Derive from it in a module of tests and give the fixture ``storage``: an opened, empty storage. ::

    class TestMyStorage(ModelStorageContract):
        @pytest.fixture
        def storage(self, tmp_path):
            with MyStorage(tmp_path) as storage:
                yield storage
"""

from __future__ import annotations

from aria_core.testing.model_calls import CallsContract
from aria_core.testing.model_ledger import LedgerContract
from aria_core.testing.model_queue import QueueContract
from aria_core.testing.model_states import StatesContract
from aria_core.testing.model_tables import TableContract


class ModelStorageContract(TableContract, LedgerContract, StatesContract, CallsContract, QueueContract):
    """What every model storage does: the friendly tables, and the ledger with its state machines.

    Workers and runners elsewhere are a part of it: a database that only one host reaches serves those of
    this host.
    """
