-- The registry: small tables only; the views over the Parquet files are made in catalog_views.py.
-- All times are UTC. A change here needs a new SCHEMA_VERSION in registry_database.py.

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
    status VARCHAR NOT NULL,            -- done or failed
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
    last_searched_at TIMESTAMP
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
    PRIMARY KEY (keyword, video_id)
);

CREATE TABLE removed_videos (
    video_id VARCHAR PRIMARY KEY,
    removed_at TIMESTAMP NOT NULL
);
