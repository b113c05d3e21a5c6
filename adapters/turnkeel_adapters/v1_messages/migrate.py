"""How does an older `messages` table get its marker column?"""

import apsw

from turnkeel_adapters.sessions.connect import transaction
from turnkeel_adapters.sessions.rows import columns_of
from turnkeel_adapters.v1_messages.connect import MARKER


def add_marker(db: apsw.Connection) -> bool:
    """Add `processing_started_at TEXT` to `messages`, NULL in every row; False if it is there already.

    The column is looked for first, inside the transaction: no error is expected, so none is swallowed.
    """
    with transaction(db):
        if MARKER in columns_of(db, "messages"):
            return False
        db.execute(f"ALTER TABLE messages ADD COLUMN {MARKER} TEXT").fetchall()
        return True
