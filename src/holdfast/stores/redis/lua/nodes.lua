-- All entries of a node, and rows that come, change and go with them.

local function by_text(node)
  local key, tag = node.key, kind_tag(text(node, KINDED))
  local tail, above_it = key .. HERE_TAG, parent(node)
  local entries = {
    'o' .. digest(text(node, OWNED), 5) .. tag .. tail,
    'c' .. digest(text(node, CLIENTED), 5) .. tag .. tail,
    'n' .. sub(key, 1, 7) .. tail,
  }
  if node[ALIASED] > 0 then entries[4] = 'a' .. sub(text(node, ALIASED), 1, 7) .. tail end
  if above_it then
    entries[#entries + 1] = 'p' .. sub(above_it, 1, 7) .. tail
    entries[#entries + 1] = 't' .. sub(tree(node), 1, 7) .. tail
    if home(key) ~= HERE then entries[#entries + 1] = 'k' .. sub(key, 1, 7) .. tail end
  end
  return entries
end

local AT_HOME = {a = true, o = true, c = true, k = true}

local function carry(sign, entry)
  if AT_HOME[sub(entry, 1, 1)] and home(sub(entry, 2, 8)) ~= HERE then
    away[#away + 1] = sign .. entry
  elseif sign == '+' then
    put(entry)
  else
    drop(entry)
  end
end

local function carry_all(sign, entries)
  for _, entry in ipairs(entries) do carry(sign, entry) end
end

local function exchange(old, new)
  local there = {}
  for _, entry in ipairs(old) do there[entry] = true end
  for _, entry in ipairs(new) do
    if there[entry] then there[entry] = nil else carry('+', entry) end
  end
  for entry in pairs(there) do carry('-', entry) end
end

local function count_living(node, amount)
  if node[STATE] == LIVE then call('HINCRBY', LIVING, text(node, KINDED), amount) end
end

local function insert(node)
  call('HSET', NODES, node.key, node.row)
  carry_all('+', by_text(node))
  carry_all('+', by_clock(node))
  count_living(node, 1)
end

-- Remove a row, with its lease; its event log is a key of its own, which the caller names. Homes name one that leaves for
-- another shard until it has arrived there.
local function remove(node, leaves)
  call('HDEL', NODES, node.key)
  call('HDEL', LEASES, node.key)
  for _, entry in ipairs(by_text(node)) do
    if not (leaves and AT_HOME[sub(entry, 1, 1)]) then carry('-', entry) end
  end
  carry_all('-', by_clock(node))
  count_living(node, -1)
end

-- Change a node's numbers and, if `texts` is given, all after them; move it in the indexes.
local function update(node, change, texts)
  local clocks, words, state = by_clock(node), texts and by_text(node), node[STATE]
  change(node)
  node.row = encode(node, texts)
  call('HSET', NODES, node.key, node.row)
  exchange(clocks, by_clock(node))
  if words then exchange(words, by_text(node)) end
  if state ~= node[STATE] then
    call('HINCRBY', LIVING, text(node, KINDED), state == LIVE and -1 or node[STATE] == LIVE and 1 or 0)
  end
  return node
end

local function children(key)
  local found = {}
  for _, below in ipairs(keys('p' .. sub(key, 1, 7))) do
    local node = read(below)
    if node and parent(node) == key then found[#found + 1] = node end
  end
  return found
end

-- What is in a parcel on its way to another shard is still below its parent: it may come back.
local function has_sent(key)
  if SHARDS == 1 then return false end
  for _, kept in ipairs(call('HVALS', KEYS[7])) do
    local top = cmsgpack.unpack(sub(kept, 19))[7][1]
    if parent(decode(top[1], top[2])) == key then return true end
  end
  return false
end

local function has_children(key)
  local found = false
  scan('p' .. sub(key, 1, 7), first('p' .. sub(key, 1, 7)), function(entry)
    local node = read(key_of(entry))
    found = node and parent(node) == key
    return found
  end)
  return found or has_sent(key)
end

local function named(alias, own)
  local found
  scan('a' .. sub(alias, 1, 7), first('a' .. sub(alias, 1, 7)), function(entry)
    local key = key_of(entry)
    local node = key ~= own and shard_of(entry) == HERE and read(key)
    if node and node[ALIASED] > 0 and text(node, ALIASED) == alias then found = node end
    return found ~= nil
  end)
  return found
end
