-- What the file has to say about itself, to be compared with the watermark beside it.
ALTER TABLE owner ADD COLUMN journal_id TEXT;
ALTER TABLE owner ADD COLUMN commits INTEGER NOT NULL DEFAULT 0;
ALTER TABLE owner ADD COLUMN entries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE owner ADD COLUMN head BLOB;
-- The highest number among the runs that were deleted: no number is used twice.
ALTER TABLE owner ADD COLUMN last_deleted INTEGER NOT NULL DEFAULT 0;
UPDATE owner SET entries = (SELECT count(*) FROM journal);

-- The digest covers all other values of the row; schema.py fills it in for rows that are there already.
ALTER TABLE runs ADD COLUMN key TEXT;
ALTER TABLE runs ADD COLUMN request BLOB;
ALTER TABLE runs ADD COLUMN digest BLOB;
CREATE UNIQUE INDEX runs_by_key ON runs (key) WHERE key IS NOT NULL;
CREATE INDEX runs_ended ON runs (completed_at, number) WHERE completed_at IS NOT NULL;
