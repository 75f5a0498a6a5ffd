-- The tables of one namespace. `holdfast.` stands for the namespace's schema; it is put in when this is run.
--
-- A touch must leave every indexed column alone, or PostgreSQL writes a new entry into each index (no HOT update). So
-- what is indexed of a live node's expiry is `bucket`, the five minutes in which it ends. `above` are the keys of the
-- ancestors, nearest first: whether a chain lives is one look-up, and what is below a node is found in its tree.
-- A payload is sealed, so it cannot be compressed; a large one lies beside its row, which a touch does not copy.

CREATE TYPE holdfast.record AS (
  key bytea, tree bytea, parent bytea, alias bytea, mark text, kind text, owner text, client text, label text,
  payload bytea, state text, reason text, created_at float8, used_at float8, idle float8, sliding float8,
  slides_after float8, slid_at float8, ends_at float8, busy_until float8, holds boolean, held int4, due_at float8,
  ended_at float8, attempts int4, version int4);

CREATE TYPE holdfast.cap AS (scope text, most int8, policy text, spare bytea[]);

-- core.policy.expires_at
CREATE FUNCTION holdfast.expiry(
  held int4, ends_at float8, slid_at float8, sliding float8, used_at float8, idle float8
) RETURNS float8 LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN held > 0 THEN ends_at ELSE least(ends_at, slid_at + sliding, used_at + idle) END
$$;

CREATE FUNCTION holdfast.bucket(instant float8) RETURNS int8 LANGUAGE sql IMMUTABLE AS $$
  SELECT floor(greatest(least(instant, 4503599627370496), -4503599627370496) / 300)::int8
$$;

CREATE TABLE holdfast.node (
  created_at float8 NOT NULL, used_at float8 NOT NULL, idle float8, sliding float8, slides_after float8 NOT NULL,
  slid_at float8 NOT NULL, ends_at float8 NOT NULL, busy_until float8 NOT NULL, due_at float8, ended_at float8,
  until float8 NOT NULL DEFAULT 0,
  expires_at float8 NOT NULL
    GENERATED ALWAYS AS (holdfast.expiry(held, ends_at, slid_at, sliding, used_at, idle)) STORED,
  bucket int8 GENERATED ALWAYS AS (
    CASE WHEN state = 'live'
    THEN holdfast.bucket(holdfast.expiry(held, ends_at, slid_at, sliding, used_at, idle)) END) STORED,
  fence int4 NOT NULL DEFAULT 0, held int4 NOT NULL, attempts int4 NOT NULL, version int4 NOT NULL,
  holds boolean NOT NULL, key bytea NOT NULL, tree bytea NOT NULL, parent bytea, above bytea[] NOT NULL, alias bytea,
  mark text NOT NULL, kind text NOT NULL, owner text NOT NULL, client text NOT NULL, label text NOT NULL,
  state text NOT NULL CHECK (state IN ('live', 'ending', 'stranded')),
  reason text CHECK (reason IN ('logout', 'client', 'idle', 'expired', 'replaced', 'admin', 'parent', 'backend_gone',
    'shutdown', 'security')),
  payload bytea NOT NULL,
  CONSTRAINT node_key PRIMARY KEY (key)
) WITH (fillfactor = 80);
ALTER TABLE holdfast.node ALTER COLUMN payload SET STORAGE EXTERNAL;

CREATE UNIQUE INDEX node_alias ON holdfast.node (alias) WHERE alias IS NOT NULL;
CREATE INDEX node_tree ON holdfast.node (tree, key) WHERE parent IS NOT NULL;
CREATE INDEX node_parent ON holdfast.node (parent, key) WHERE parent IS NOT NULL;
CREATE INDEX node_owner ON holdfast.node (owner, key);
CREATE INDEX node_client ON holdfast.node (client, key);
CREATE INDEX node_kind ON holdfast.node (kind, key);
CREATE INDEX node_bucket ON holdfast.node (bucket) WHERE bucket IS NOT NULL;
CREATE INDEX node_due ON holdfast.node (due_at, key) WHERE due_at IS NOT NULL;

CREATE TABLE holdfast.stream (
  node bytea, name text, last int8 NOT NULL, CONSTRAINT stream_key PRIMARY KEY (node, name)) WITH (fillfactor = 80);
CREATE TABLE holdfast.event (
  seq int8, at float8 NOT NULL, node bytea, stream text, data bytea NOT NULL,
  CONSTRAINT event_key PRIMARY KEY (node, stream, seq));

CREATE TABLE holdfast.counter (
  value int8 NOT NULL, until float8 NOT NULL, bucket int8 GENERATED ALWAYS AS (holdfast.bucket(until)) STORED,
  sort text, name text, CONSTRAINT counter_key PRIMARY KEY (sort, name)) WITH (fillfactor = 80);
CREATE INDEX counter_bucket ON holdfast.counter (bucket);
