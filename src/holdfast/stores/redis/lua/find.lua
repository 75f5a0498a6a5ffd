-- uses: rows list clocks nodes; keys: 3
-- Return nodes of one index: key and row of each, or key and shard where its row is in another shard or on its way there.
-- ARGV: shard, index, value, after, count
-- Answer: what is ordered by key comes in order, after the key `after`; what is ordered by time earliest first.

local index, value, after, count = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local COMMON = 4096 -- a kind with that many nodes is found by walking along the keys, a rare one by sorting its own
local found = {}

local function add(key, row)
  found[#found + 1] = key
  found[#found + 1] = row
  return #found >= 2 * count
end

local function wanted(node)
  return node and (index == 'all' or index == 'kind' and text(node, KINDED) == value)
end

local function behind(prefix) return after == '' and first(prefix) or prefix .. after .. '\255\255' end

-- Add nodes by their keys, lowest first.
local function add_sorted(list)
  table.sort(list, by_key)
  for _, key in ipairs(list) do
    if (after == '' or by_key(after, key)) and add(key, call('HGET', NODES, key)) then return end
  end
end

local function along_keys()
  scan('n', after == '' and first('n') or 'n' .. sub(after, 1, 7) .. after .. '\255\255', function(entry)
    local node = read(key_of(entry))
    return wanted(node) and add(node.key, node.row)
  end)
end

local function by_kind()
  local list = keys('u' .. kind_tag(value), COMMON)
  if #list >= COMMON then return along_keys() end
  local own = {}
  for _, key in ipairs(list) do
    if wanted(read(key)) then own[#own + 1] = key end
  end
  add_sorted(own)
end

-- The root has no entry: it comes in where its key belongs.
local function in_tree()
  local top, prefix = read(value), 't' .. sub(value, 1, 7)
  if not top or parent(top) then return end
  local pending = after == '' or by_key(after, value)
  scan(prefix, behind(prefix), function(entry)
    local key = key_of(entry)
    if pending and by_key(value, key) then
      pending = false
      if add(top.key, top.row) then return true end
    end
    local node = read(key)
    return node and tree(node) == value and add(key, node.row)
  end)
  if pending and #found < 2 * count then add(top.key, top.row) end
end

-- An owner's or a client's nodes stand by kind, and by key within a kind: take the first of each kind.
local function by_scope(letter, field)
  local prefix, list = letter .. digest(value, 5), {}
  local from = first(prefix)
  while from do
    local kind
    scan(prefix, from, function(entry) kind = sub(entry, 1, 8) return true end)
    if not kind then break end
    local number = 0
    scan(kind, behind(kind), function(entry)
      local key, shard = key_of(entry), shard_of(entry)
      local node = shard == HERE and read(key)
      if not node and SHARDS > 1 or node and text(node, field) == value then
        number = number + 1
        list[#list + 1] = {key, node and node.row or shard}
      end
      return number >= count
    end)
    from = kind .. string.rep('\255', 18)
  end
  table.sort(list, function(one, other) return by_key(one[1], other[1]) end)
  for _, own in ipairs(list) do
    if add(own[1], own[2]) then return end
  end
end

local function by_place()
  scan('k' .. sub(value, 1, 7), first('k' .. sub(value, 1, 7)), function(entry)
    return key_of(entry) == value and add(value, shard_of(entry))
  end)
end

-- Everything whose span has begun, sorted within each span.
local function expired()
  local instant = unpacked('<d', value)
  local last, current, batch = coarse(instant, 16), nil, {}
  local function flush()
    table.sort(batch, function(one, other) -- within a span the list is in order of the keys
      return one.ends < other.ends or one.ends == other.ends and one.place < other.place
    end)
    for _, node in ipairs(batch) do
      if add(node.key, node.row) then break end
    end
    batch = {}
    return #found >= 2 * count
  end
  scan('e', first('e'), function(entry)
    local bucket = unpacked('>I7', entry, 2)
    if bucket ~= current and flush() or bucket > last then return true end
    current = bucket
    local node = read(key_of(entry))
    if node and node[STATE] == LIVE and expiry(node) <= instant then
      node.ends, node.place = expiry(node), #batch
      batch[#batch + 1] = node
    end
  end)
  if #found < 2 * count then flush() end
end

local function due()
  local instant = unpacked('<d', value)
  local last = micro(instant)
  scan('d', first('d'), function(entry)
    if unpacked('>I7', entry, 2) > last then return true end
    local node = read(key_of(entry))
    return node and node[DUE] <= instant and add(node.key, node.row)
  end)
end

if count <= 0 then return found end
if index == 'key' then
  local row = (after == '' or by_key(after, value)) and call('HGET', NODES, value)
  if row then add(value, row) else by_place() end
elseif index == 'tree' then in_tree()
elseif index == 'parent' then
  local list = {}
  for _, child in ipairs(children(value)) do list[#list + 1] = child.key end
  add_sorted(list)
elseif index == 'owner' then by_scope('o', OWNED)
elseif index == 'client' then by_scope('c', CLIENTED)
elseif index == 'kind' then by_kind()
elseif index == 'all' then along_keys()
elseif index == 'expired' then expired()
else due() end
return found
