"""A local container in one SQLite file: sessions, messages, and cached prefixes.

from runtime_py.store import Store
with Store("chats.db") as store:
    session = store.open(llm, "last")
"""

from runtime_py.store.prefixes import Prefix, Prefixes
from runtime_py.store.records import StoredMessage, StoredSession
from runtime_py.store.store import Store, StoreStats

__all__ = ["Prefix", "Prefixes", "Store", "StoreStats", "StoredMessage", "StoredSession"]
