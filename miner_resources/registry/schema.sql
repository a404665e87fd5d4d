-- The registry: small tables only; the views over the Parquet files are made in views.py.
-- All times are UTC. A change here needs a file in migrations/ and a new SCHEMA_VERSION in database.py.

CREATE TABLE meta (
    schema_version INTEGER NOT NULL,
    views VARCHAR                       -- what the views were last made for
);

CREATE TABLE videos (
    video_id VARCHAR PRIMARY KEY,
    url VARCHAR NOT NULL,
    title VARCHAR,
    channel VARCHAR,
    duration_s DOUBLE,
    license VARCHAR,
    trainable VARCHAR,                  -- who may train on it, as YouTube's creators say: all, none, or names
    source_keyword VARCHAR,
    status VARCHAR NOT NULL,
    added_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP,
    notes VARCHAR,
    source_size BIGINT,                 -- bytes of a local source file
    source_mtime_ns BIGINT              -- and when it was last written
);

CREATE TABLE stages (
    video_id VARCHAR,
    stage VARCHAR,
    status VARCHAR NOT NULL,            -- done, failed, waiting or skipped
    started_at TIMESTAMP NOT NULL,
    finished_at TIMESTAMP NOT NULL,
    compute_key VARCHAR,
    decision_key VARCHAR,
    metrics JSON,
    error VARCHAR,
    remedy VARCHAR,
    retryable BOOLEAN NOT NULL,
    PRIMARY KEY (video_id, stage)
);

CREATE TABLE keywords (
    keyword VARCHAR PRIMARY KEY,
    added_at TIMESTAMP NOT NULL,
    max_results BIGINT,
    last_searched_at TIMESTAMP,
    last_settings VARCHAR               -- hash of the filters of that search
);

CREATE TABLE search_results (
    keyword VARCHAR,
    video_id VARCHAR,
    rank BIGINT NOT NULL,
    url VARCHAR NOT NULL,
    searched_at TIMESTAMP NOT NULL,
    title VARCHAR,
    channel VARCHAR,
    duration_s DOUBLE,
    reason VARCHAR,                     -- why it was left out, null if it was taken
    PRIMARY KEY (keyword, video_id)
);

CREATE TABLE removed_videos (
    video_id VARCHAR PRIMARY KEY,
    removed_at TIMESTAMP NOT NULL
);

CREATE TABLE pools (
    pool VARCHAR PRIMARY KEY,           -- a site: youtube, or a host
    state JSON NOT NULL                 -- its line and cool-down, see pacing.py
);
