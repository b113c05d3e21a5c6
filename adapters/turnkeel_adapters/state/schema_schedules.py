"""How do schedules and their occurrences lie in `turnkeel.db`?

The texts of two migrations (`migrations`): they are never changed once they have been released.
"""

from typing import Final

SCHEDULES: Final = """
    CREATE TABLE schedule (
        series TEXT PRIMARY KEY,
        session TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('once', 'interval', 'cron')),
        value TEXT NOT NULL,
        zone TEXT NOT NULL,
        prompt TEXT NOT NULL,
        channel TEXT NOT NULL,
        account TEXT NOT NULL,
        chat TEXT NOT NULL,
        thread TEXT,
        catch_up TEXT NOT NULL CHECK (catch_up IN ('skip', 'latest', 'all', 'within')),
        catch_up_limit INTEGER CHECK (catch_up_limit >= 1),
        catch_up_window_ms INTEGER CHECK (catch_up_window_ms >= 0),
        overlap TEXT NOT NULL CHECK (overlap IN ('skip', 'queue', 'replace')),
        grace_ms INTEGER CHECK (grace_ms >= 0),
        status TEXT NOT NULL CHECK (status IN ('active', 'paused', 'done', 'cancelled', 'parked')),
        next_at_ms INTEGER,
        moved_at_ms INTEGER NOT NULL,
        starts_at_ms INTEGER,
        made_at_ms INTEGER NOT NULL,
        reason TEXT,
        CHECK ((status IN ('active', 'paused')) = (next_at_ms IS NOT NULL)),
        CHECK ((catch_up = 'within') = (catch_up_window_ms IS NOT NULL)),
        CHECK (catch_up = 'all' OR catch_up_limit IS NULL)
    ) STRICT;
    CREATE INDEX schedule_next ON schedule (next_at_ms) WHERE next_at_ms IS NOT NULL;

    CREATE TABLE occurrence (
        id INTEGER PRIMARY KEY,
        series TEXT NOT NULL REFERENCES schedule (series) ON DELETE CASCADE,
        nominal_at_ms INTEGER NOT NULL,
        outcome TEXT NOT NULL CHECK (outcome IN ('claimed', 'queued', 'ran', 'failed', 'aborted', 'missed',
            'skipped_late', 'skipped_paused', 'skipped_closed', 'skipped_overlap', 'cancelled')),
        by_hand INTEGER NOT NULL CHECK (by_hand IN (0, 1)),
        turn_id TEXT,
        noted_at_ms INTEGER NOT NULL,
        ended_at_ms INTEGER,
        until_at_ms INTEGER NOT NULL,
        count INTEGER CHECK (count >= 1),
        reason TEXT,
        UNIQUE (series, nominal_at_ms),
        CHECK (until_at_ms >= nominal_at_ms),
        CHECK (outcome NOT IN ('claimed', 'ran', 'aborted') OR turn_id IS NOT NULL),
        CHECK ((outcome IN ('claimed', 'queued')) = (ended_at_ms IS NULL))
    ) STRICT;
    CREATE INDEX occurrence_open ON occurrence (series, nominal_at_ms) WHERE ended_at_ms IS NULL;
"""

SCHEDULER: Final = """
    ALTER TABLE schedule ADD COLUMN context TEXT NOT NULL DEFAULT 'group' CHECK (context IN ('group', 'isolated'));

    CREATE TABLE scheduler (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        looked_at_ms INTEGER NOT NULL,
        alarm_at_ms INTEGER NOT NULL,
        trouble TEXT,
        CHECK (alarm_at_ms > looked_at_ms)
    ) STRICT;
"""
