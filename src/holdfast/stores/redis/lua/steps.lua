-- Steps of several scripts.

local function hold(line, amount)
  for _, ancestor in ipairs(line) do
    update(ancestor, function(node) node[HELD] = node[HELD] + amount end)
  end
end

local function mark(node, reason, now)
  return update(node, function(marked)
    marked[STATE], marked[REASON], marked[DUE], marked[ENDED] = ENDING, reason, now, now
    marked[VERSION] = marked[VERSION] + 1
  end)
end

local function lease(key)
  local kept = call('HGET', LEASES, key)
  if not kept then return 0, 0 end
  return unpacked('<dd', kept)
end

local function set_lease(key, fence, until_) call('HSET', LEASES, key, pack('<dd', fence, until_)) end

local function next_lease(key, until_)
  local fence = lease(key) + 1
  set_lease(key, fence, until_)
  return pack('<d', fence)
end

local function refuse_ended(node, now)
  if not all_live(node, above(node), now) then refuse('ended', node.key) end
end

local function live_chain(key, root, now)
  local node = at(key, root)
  if not node then refuse('ended', key) end
  local line = above(node)
  if not all_live(node, line, now) then refuse('ended', key) end
  table.insert(line, 1, node)
  return line
end

local function refuse_stale(node, version)
  if node[VERSION] ~= version then refuse('version', node.key, node[VERSION], version) end
end

local function check_fence(key, root, fence)
  if not at(key, root) or lease(key) ~= fence then refuse('lease', key) end
end

-- Write the content of `given` over the stored node; what a caller may not change stays.
local function write(node, given)
  local fixed = node[PLACED] + node[ALIASED] + node[MARKED] + node[KINDED]
  local skipped = given[PLACED] + given[ALIASED] + given[MARKED] + given[KINDED]
  local texts = sub(node.row, TAIL, TAIL + fixed - 1) .. sub(given.row, TAIL + skipped)
  local before = sub(node.row, TAIL + fixed, TAIL + fixed + node[OWNED] + node[CLIENTED] - 1)
  local after = sub(texts, fixed + 1, fixed + given[OWNED] + given[CLIENTED])
  local same = before == after and node[OWNED] == given[OWNED]
  local function change(stored)
    for _, field in ipairs({STATE, REASON, ATTEMPTS, IDLE, SLIDING, SLIDES, ENDS, DUE, ENDED, OWNED, CLIENTED, LABELLED}) do
      stored[field] = given[field]
    end
    for _, field in ipairs({USED, SLID, BUSY}) do stored[field] = math.max(stored[field], given[field]) end
    stored[VERSION] = stored[VERSION] + 1
  end
  if same then
    node.row = sub(node.row, 1, TAIL - 1) .. texts
    return update(node, change)
  end
  return update(node, change, texts)
end

-- Return a row without its payload; the caller of a write has that.
local function bare(node)
  local size = TAIL - 1
  for field = PLACED, LABELLED do size = size + node[field] end
  return sub(node.row, 1, size)
end

-- Write records (pairs of key and row in ARGV from `from` on) of one tree: all, or none.
local function put_all(root, from)
  local pairs_, seen, twice = {}, {}, false
  for place_ = from, #ARGV, 2 do
    local key = ARGV[place_]
    local given = decode(key, ARGV[place_ + 1])
    if tree(given) ~= root then refuse('foreign') end
    local node = at(key, root)
    if not node then refuse('gone', key) end
    refuse_stale(node, given[VERSION])
    twice = twice or seen[key]
    seen[key] = true
    pairs_[#pairs_ + 1] = {node, given}
  end
  if twice then refuse('twice') end
  for _, pair in ipairs(pairs_) do write(pair[1], pair[2]) end
end
