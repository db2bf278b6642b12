"""The SQLite schema as numbered steps. A released step is never changed; a later one changes what it made."""
