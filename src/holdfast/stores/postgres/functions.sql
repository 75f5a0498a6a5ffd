-- The operations on trees and leases: what `stores.forest` does, beside the rows. `holdfast.` is the namespace's schema.
--
-- Locks, always in this order, so that nobody waits for anybody in a circle:
--   1. the limits of a creation: advisory locks, by number;
--   2. the roots of all trees that are to be written, by key: who has the root writes alone in its tree;
--   3. single rows. Touches and claims take nothing but these, and claims never wait.
-- Reading takes none. A function reads after it has locked, and each of its statements sees what was committed before
-- it began (READ COMMITTED). A refusal is an exception, so whatever was written before it is undone:
--   HF001 SessionExists, HF002 SessionEnded, HF003 SessionConflict, HF004 LimitReached, HF005 LeaseLost, HF006 BadInput.

CREATE FUNCTION holdfast.refuse(code text, note text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION USING ERRCODE = code, MESSAGE = note;
END $$;

CREATE FUNCTION holdfast.short(key bytea) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT left(encode(key, 'hex'), 8)
$$;

-- Return the node at a place, with its tree and its row locked; a row of nulls if it is not there.
CREATE FUNCTION holdfast.seize(_tree bytea, _key bytea) RETURNS holdfast.node LANGUAGE plpgsql AS $$
DECLARE
  stored holdfast.node;
BEGIN
  IF _tree <> _key THEN
    PERFORM FROM holdfast.node WHERE key = _tree FOR NO KEY UPDATE;
  END IF;
  SELECT * INTO stored FROM holdfast.node WHERE key = _key AND tree = _tree FOR NO KEY UPDATE;
  RETURN stored;
END $$;

-- Say whether one of a node's ancestors has ended or expired.
CREATE FUNCTION holdfast.cut(above bytea[], _now float8) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
DECLARE
  ancestor bytea;
BEGIN
  FOREACH ancestor IN ARRAY above LOOP
    PERFORM FROM holdfast.node WHERE key = ancestor AND state = 'live' AND expires_at > _now;
    IF NOT FOUND THEN
      RETURN true;
    END IF;
  END LOOP;
  RETURN false;
END $$;

CREATE FUNCTION holdfast.refuse_gone(stored holdfast.node, _key bytea) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF stored.key IS NULL THEN
    PERFORM holdfast.refuse('HF003', format('node %s is gone', holdfast.short(_key)));
  END IF;
END $$;

CREATE FUNCTION holdfast.refuse_ended(stored holdfast.node, _key bytea, _now float8) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  IF stored.key IS NULL OR stored.state <> 'live' OR stored.expires_at <= _now OR holdfast.cut(stored.above, _now) THEN
    PERFORM holdfast.refuse('HF002', format('node %s has ended, or one above it', holdfast.short(_key)));
  END IF;
END $$;

CREATE FUNCTION holdfast.refuse_stale(stored holdfast.node, _version int4) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  IF stored.version <> _version THEN
    PERFORM holdfast.refuse('HF003', format(
      'node %s has version %s, not %s', holdfast.short(stored.key), stored.version, _version));
  END IF;
END $$;

CREATE FUNCTION holdfast.refuse_lost(stored holdfast.node, _key bytea, _fence int4) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  IF stored.key IS NULL OR stored.fence <> _fence THEN
    PERFORM holdfast.refuse('HF005', format(
      'the lease on node %s was taken over, or the node is gone', holdfast.short(_key)));
  END IF;
END $$;

CREATE FUNCTION holdfast.refuse_deep(depth int4) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF depth > @depth@ THEN
    PERFORM holdfast.refuse('HF006', 'a tree is at most @depth@ nodes deep');
  END IF;
END $$;

-- Return the keys of those that live among which a limit counts. A branch each: one statement for all scopes would be
-- planned anew at every call. `kind || ''` keeps the planner off the index of kinds, one of which nearly all have.
CREATE FUNCTION holdfast.rivals(r holdfast.record, scope text, _now float8) RETURNS SETOF bytea LANGUAGE plpgsql AS $$
BEGIN
  CASE scope
    WHEN 'client' THEN RETURN QUERY SELECT key FROM holdfast.node
      WHERE client = r.client AND kind || '' = r.kind AND state = 'live' AND expires_at > _now;
    WHEN 'owner' THEN RETURN QUERY SELECT key FROM holdfast.node
      WHERE owner = r.owner AND kind || '' = r.kind AND state = 'live' AND expires_at > _now;
    WHEN 'parent' THEN RETURN QUERY SELECT key FROM holdfast.node
      WHERE parent = r.parent AND kind || '' = r.kind AND state = 'live' AND expires_at > _now;
    WHEN 'total' THEN RETURN QUERY SELECT key FROM holdfast.node
      WHERE kind = r.kind AND state = 'live' AND expires_at > _now;
  END CASE;
END $$;

-- Return who has to go so that the node fits (core.policy.victims), and the text of the refusal if that may not be.
CREATE FUNCTION holdfast.victims(
  r holdfast.record, caps holdfast.cap[], ancestors bytea[], _now float8, OUT leaving bytea[], OUT refusal text
) LANGUAGE plpgsql AS $$
DECLARE
  cap holdfast.cap;
  living bytea[];
  excess int8;
  chosen bytea[] := '{}';
BEGIN
  leaving := '{}';
  FOREACH cap IN ARRAY caps LOOP
    CONTINUE WHEN cap.scope = 'total' AND cap.most > ( -- far from full: counted by the index alone, up to the limit
      SELECT count(*) FROM (SELECT FROM holdfast.node WHERE kind = r.kind LIMIT cap.most) AS counted);
    living := ARRAY(SELECT key FROM holdfast.rivals(r, cap.scope, _now) AS key WHERE key <> ALL (leaving));
    excess := cardinality(living) + 1 - cap.most;
    CONTINUE WHEN excess <= 0;
    IF cap.policy <> 'reject' THEN
      chosen := ARRAY(
        SELECT key FROM holdfast.node
          WHERE key = ANY (living) AND held = 0 AND busy_until <= _now
            AND key <> ALL (cap.spare) AND key <> ALL (ancestors)
          ORDER BY CASE cap.policy WHEN 'replace_oldest' THEN created_at ELSE used_at END, key LIMIT excess);
    END IF;
    IF cap.policy = 'reject' OR cardinality(chosen) < excess THEN
      refusal := format('there are %s %s sessions already (limit per %s)', cap.most, r.kind, cap.scope);
      RETURN;
    END IF;
    leaving := leaving || chosen;
  END LOOP;
END $$;

-- Lock what two creations within one limit must not do at the same time.
CREATE FUNCTION holdfast.lock_limits(r holdfast.record, caps holdfast.cap[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(number) FROM (
    SELECT DISTINCT hashtextextended(concat_ws(' ', 'holdfast.', scope, r.kind, CASE scope
        WHEN 'client' THEN r.client WHEN 'owner' THEN r.owner WHEN 'parent' THEN encode(r.parent, 'hex') END), 0
      ) AS number FROM unnest(caps) ORDER BY number) AS numbers;
END $$;

CREATE FUNCTION holdfast.lock_trees(trees bytea[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM FROM holdfast.node WHERE key = ANY (trees) ORDER BY key FOR NO KEY UPDATE;
END $$;

-- SessionStore.create; returns what was replaced.
CREATE FUNCTION holdfast.create_node(r holdfast.record, caps holdfast.cap[], _now float8)
RETURNS SETOF holdfast.node LANGUAGE plpgsql AS $$
DECLARE
  host holdfast.node;
  ancestors bytea[] := '{}';
  leaving bytea[] := '{}';
  refusal text;
  trees bytea[] := CASE WHEN r.parent IS NULL THEN '{}' ELSE ARRAY[r.tree] END;
BEGIN
  IF cardinality(caps) > 0 THEN
    PERFORM holdfast.lock_limits(r, caps);
    SELECT * INTO leaving, refusal FROM holdfast.victims(r, caps, '{}', _now);
    trees := trees || ARRAY(SELECT DISTINCT tree FROM holdfast.node WHERE key = ANY (leaving));
  END IF;
  IF cardinality(trees) > 0 THEN
    PERFORM holdfast.lock_trees(trees);
  END IF;
  IF EXISTS (SELECT FROM holdfast.node WHERE key = r.key) THEN
    PERFORM holdfast.refuse('HF001', format('node %s is there already', holdfast.short(r.key)));
  ELSIF EXISTS (SELECT FROM holdfast.node WHERE alias = r.alias) THEN
    PERFORM holdfast.refuse('HF001', 'the id is taken');
  END IF;
  IF r.parent IS NOT NULL THEN
    SELECT * INTO host FROM holdfast.node WHERE key = r.parent AND tree = r.tree;
    PERFORM holdfast.refuse_ended(host, r.parent, _now);
    ancestors := host.key || host.above;
    PERFORM holdfast.refuse_deep(cardinality(ancestors) + 1);
  ELSIF r.tree <> r.key THEN
    PERFORM holdfast.refuse('HF006', 'the tree of a root is its own key');
  END IF;
  IF refusal IS NOT NULL OR cardinality(leaving) > 0 THEN
    SELECT * INTO leaving, refusal FROM holdfast.victims(r, caps, ancestors, _now);
    IF refusal IS NOT NULL THEN
      PERFORM holdfast.refuse('HF004', refusal);
    ELSIF EXISTS (SELECT FROM holdfast.node WHERE key = ANY (leaving) AND tree <> ALL (trees)) THEN
      PERFORM holdfast.refuse('40001', 'others have come to be replaced meanwhile');
    END IF;
    RETURN QUERY WITH marked AS (
      UPDATE holdfast.node
        SET state = 'ending', reason = 'replaced', due_at = _now, ended_at = _now, version = version + 1
        WHERE key = ANY (leaving) RETURNING *)
      SELECT * FROM marked ORDER BY array_position(leaving, key);
  END IF;
  INSERT INTO holdfast.node (
    key, tree, parent, above, alias, mark, kind, owner, client, label, payload, state, reason, created_at, used_at,
    idle, sliding, slides_after, slid_at, ends_at, busy_until, holds, held, due_at, ended_at, attempts, version
  ) VALUES (
    r.key, r.tree, r.parent, ancestors, r.alias, r.mark, r.kind, r.owner, r.client, r.label, r.payload, r.state,
    r.reason, r.created_at, r.used_at, r.idle, r.sliding, r.slides_after, r.slid_at, r.ends_at, r.busy_until, r.holds,
    0, r.due_at, r.ended_at, r.attempts, 0);
  IF r.holds THEN
    UPDATE holdfast.node SET held = held + 1 WHERE key = ANY (ancestors);
  END IF;
END $$;

-- Record a use (core.policy.touched); losing the last few in a crash of the server does no harm.
CREATE FUNCTION holdfast.touch(_key bytea, _now float8, busy float8) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  commit text := set_config('synchronous_commit', 'off', true);
BEGIN
  UPDATE holdfast.node SET used_at = greatest(used_at, _now), busy_until = greatest(busy_until, busy),
    slid_at = CASE WHEN sliding IS NOT NULL AND _now - slid_at >= slides_after THEN _now ELSE slid_at END
    WHERE key = _key;
  RETURN FOUND;
END $$;

-- Write a record over its row, which is locked and has its version; what a writer may not change stays.
CREATE FUNCTION holdfast.write(r holdfast.record) RETURNS SETOF holdfast.node LANGUAGE sql AS $$
  UPDATE holdfast.node SET
    payload = r.payload, owner = r.owner, client = r.client, label = r.label, state = r.state, reason = r.reason,
    idle = r.idle, sliding = r.sliding, slides_after = r.slides_after, ends_at = r.ends_at, due_at = r.due_at,
    ended_at = r.ended_at, attempts = r.attempts, version = version + 1, used_at = greatest(used_at, r.used_at),
    slid_at = greatest(slid_at, r.slid_at), busy_until = greatest(busy_until, r.busy_until)
    WHERE key = r.key RETURNING *
$$;

-- SessionStore.replace
CREATE FUNCTION holdfast.replace_node(r holdfast.record, _now float8, _fence int4)
RETURNS SETOF holdfast.node LANGUAGE plpgsql AS $$
DECLARE
  stored holdfast.node := holdfast.seize(r.tree, r.key);
BEGIN
  PERFORM holdfast.refuse_gone(stored, r.key);
  IF _fence IS NULL THEN
    PERFORM holdfast.refuse_ended(stored, r.key, _now);
  ELSIF stored.fence <> _fence THEN
    PERFORM holdfast.refuse('HF005', format('the lease on node %s was taken over', holdfast.short(r.key)));
  END IF;
  PERFORM holdfast.refuse_stale(stored, r.version);
  RETURN QUERY SELECT * FROM holdfast.write(r);
END $$;

-- Hang a node and all below it at a place; returns its new ancestors. All trees are locked.
CREATE FUNCTION holdfast.move(stored holdfast.node, parent_tree bytea, parent_key bytea, _now float8)
RETURNS bytea[] LANGUAGE plpgsql AS $$
DECLARE
  host holdfast.node;
  higher bytea[];
  levels int4;
  weight int4 := stored.held + stored.holds::int4;
BEGIN
  SELECT * INTO host FROM holdfast.node WHERE key = parent_key AND tree = parent_tree;
  PERFORM holdfast.refuse_ended(host, parent_key, _now);
  higher := host.key || host.above;
  IF stored.key = ANY (higher) THEN
    PERFORM holdfast.refuse('HF006', 'a node cannot hang below itself');
  END IF;
  SELECT coalesce(max(array_position(above, stored.key)), 0) INTO levels
    FROM holdfast.node WHERE tree = stored.tree AND parent IS NOT NULL AND stored.key = ANY (above);
  PERFORM holdfast.refuse_deep(cardinality(higher) + 1 + levels);
  IF weight > 0 THEN
    UPDATE holdfast.node SET held = held - weight WHERE key = ANY (stored.above);
    UPDATE holdfast.node SET held = held + weight WHERE key = ANY (higher);
  END IF;
  UPDATE holdfast.node SET tree = parent_tree, above = above[1:array_position(above, stored.key)] || higher
    WHERE tree = stored.tree AND parent IS NOT NULL AND stored.key = ANY (above);
  RETURN higher;
END $$;

-- SessionStore.rekey
CREATE FUNCTION holdfast.rekey_node(
  _tree bytea, _key bytea, _version int4, _alias bytea, _mark text, _now float8, parent_tree bytea, parent_key bytea
) RETURNS SETOF holdfast.node LANGUAGE plpgsql AS $$
DECLARE
  stored holdfast.node;
  higher bytea[];
BEGIN
  PERFORM holdfast.lock_trees(ARRAY[_tree, parent_tree]);
  stored := holdfast.seize(_tree, _key);
  PERFORM holdfast.refuse_gone(stored, _key);
  PERFORM holdfast.refuse_ended(stored, _key, _now);
  PERFORM holdfast.refuse_stale(stored, _version);
  IF EXISTS (SELECT FROM holdfast.node WHERE alias = _alias) THEN
    PERFORM holdfast.refuse('HF001', 'the new id is taken');
  END IF;
  higher := CASE WHEN parent_key IS NULL THEN stored.above
    ELSE holdfast.move(stored, parent_tree, parent_key, _now) END;
  RETURN QUERY UPDATE holdfast.node SET alias = _alias, mark = _mark, version = version + 1,
    tree = coalesce(parent_tree, tree), parent = coalesce(parent_key, parent), above = higher
    WHERE key = _key RETURNING *;
END $$;

-- SessionStore.end
CREATE FUNCTION holdfast.end_node(_tree bytea, _key bytea, _reason text, _now float8)
RETURNS SETOF holdfast.node LANGUAGE plpgsql AS $$
BEGIN
  PERFORM FROM holdfast.node WHERE key = _tree FOR NO KEY UPDATE;
  RETURN QUERY UPDATE holdfast.node
    SET state = 'ending', reason = _reason, due_at = _now, ended_at = _now, version = version + 1
    WHERE key = _key AND tree = _tree AND state = 'live' RETURNING *;
END $$;

-- SessionStore.delete
CREATE FUNCTION holdfast.delete_nodes(trees bytea[], keys bytea[], _fence int4) RETURNS int4
LANGUAGE plpgsql AS $$
DECLARE
  place int4;
  higher bytea[];
  gone bytea[] := '{}';
BEGIN
  PERFORM holdfast.lock_trees(trees);
  IF _fence IS NOT NULL THEN
    place := cardinality(keys);
    PERFORM holdfast.refuse_lost(holdfast.seize(trees[place], keys[place]), keys[place], _fence);
  END IF;
  FOR place IN 1 .. cardinality(keys) LOOP
    DELETE FROM holdfast.node WHERE key = keys[place] AND tree = trees[place]
      AND NOT EXISTS (SELECT FROM holdfast.node AS child WHERE child.parent = keys[place])
      RETURNING CASE WHEN holds THEN above ELSE '{}' END INTO higher;
    CONTINUE WHEN NOT FOUND;
    gone := gone || keys[place];
    IF cardinality(higher) > 0 THEN
      UPDATE holdfast.node SET held = held - 1 WHERE key = ANY (higher);
    END IF;
  END LOOP;
  DELETE FROM holdfast.stream WHERE node = ANY (gone);
  IF FOUND THEN
    DELETE FROM holdfast.event WHERE node = ANY (gone);
  END IF;
  RETURN cardinality(gone);
END $$;
