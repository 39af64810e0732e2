"""The numbered migrations, plain SQL; an applied one is never edited (its checksum is kept)."""
