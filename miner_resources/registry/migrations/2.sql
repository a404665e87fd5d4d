-- From version 1: rights, reasons and settings of searches, and the lines of the governor.

ALTER TABLE videos ADD COLUMN trainable VARCHAR;
ALTER TABLE keywords ADD COLUMN last_settings VARCHAR;
ALTER TABLE search_results ADD COLUMN reason VARCHAR;
CREATE TABLE pools (pool VARCHAR PRIMARY KEY, state JSON NOT NULL);
