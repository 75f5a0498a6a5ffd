-- Leases, and the token bucket. `functions.sql` says which locks are taken in which order.

-- SessionStore.claim: in any order
CREATE FUNCTION holdfast.claim_nodes(kinds text[], _now float8, ttl float8, most int8)
RETURNS SETOF holdfast.node LANGUAGE sql AS $$
  WITH due AS MATERIALIZED (
    SELECT key FROM holdfast.node AS top
      WHERE due_at <= _now AND until <= _now AND kind || '' = ANY (kinds) AND NOT EXISTS (
        SELECT FROM holdfast.node WHERE tree = top.tree AND parent IS NOT NULL AND top.key = ANY (above)
          AND kind <> ALL (kinds))
      ORDER BY due_at, key LIMIT most FOR NO KEY UPDATE SKIP LOCKED)
  UPDATE holdfast.node AS n SET fence = fence + 1, until = _now + ttl FROM due WHERE n.key = due.key RETURNING n.*
$$;

-- Write the records of a tree, which is locked: all, or none.
CREATE FUNCTION holdfast.put(_tree bytea, records holdfast.record[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  r holdfast.record;
  stored holdfast.node;
BEGIN
  FOREACH r IN ARRAY records LOOP
    IF r.tree <> _tree THEN
      PERFORM holdfast.refuse('HF006', 'a record written under a lease belongs to the lease''s tree');
    END IF;
    SELECT * INTO stored FROM holdfast.node WHERE key = r.key AND tree = _tree;
    PERFORM holdfast.refuse_gone(stored, r.key);
    PERFORM holdfast.refuse_stale(stored, r.version);
  END LOOP;
  IF (SELECT count(DISTINCT key) FROM unnest(records)) < cardinality(records) THEN
    PERFORM holdfast.refuse('HF003', 'one node is written twice in one step');
  END IF;
  PERFORM holdfast.write(written) FROM unnest(records) AS written;
END $$;

-- Leases.acquire; returns the fence, or null.
CREATE FUNCTION holdfast.acquire_lease(
  _tree bytea, _key bytea, _now float8, ttl float8, records holdfast.record[], closing boolean
) RETURNS int4 LANGUAGE plpgsql AS $$
DECLARE
  stored holdfast.node := holdfast.seize(_tree, _key);
BEGIN
  IF stored.key IS NULL THEN
    PERFORM holdfast.refuse('HF002', format('node %s is gone', holdfast.short(_key)));
  ELSIF NOT closing THEN
    PERFORM holdfast.refuse_ended(stored, _key, _now);
  END IF;
  IF stored.until > _now THEN
    RETURN NULL;
  END IF;
  PERFORM holdfast.put(_tree, records);
  UPDATE holdfast.node SET fence = fence + 1, until = _now + ttl WHERE key = _key;
  RETURN stored.fence + 1;
END $$;

-- Leases.renew, and with the beginning of all time Leases.release
CREATE FUNCTION holdfast.keep_lease(
  _tree bytea, _key bytea, _fence int4, _until float8, records holdfast.record[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  stored holdfast.node := holdfast.seize(_tree, _key);
BEGIN
  IF stored.key IS NULL AND _until = 0 AND cardinality(records) = 0 THEN
    RETURN;
  END IF;
  PERFORM holdfast.refuse_lost(stored, _key, _fence);
  PERFORM holdfast.put(_tree, records);
  UPDATE holdfast.node SET until = _until WHERE key = _key;
END $$;

-- Counters.take (stores.bucket): the seconds to wait, 0 if granted. A crash may forget the last few.
CREATE FUNCTION holdfast.take(_name text, rate float8, burst float8, _now float8, cost float8)
RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
  commit text := set_config('synchronous_commit', 'off', true);
  full_at float8;
  wait float8;
BEGIN
  INSERT INTO holdfast.counter (sort, name, value, until) VALUES ('take', _name, 0, _now) ON CONFLICT DO NOTHING;
  SELECT until INTO full_at FROM holdfast.counter WHERE sort = 'take' AND name = _name FOR NO KEY UPDATE;
  full_at := greatest(full_at, _now) + cost / rate;
  wait := full_at - burst / rate - _now;
  IF wait > 1e-6 THEN
    RETURN wait;
  END IF;
  UPDATE holdfast.counter SET until = full_at WHERE sort = 'take' AND name = _name;
  RETURN 0;
END $$;
