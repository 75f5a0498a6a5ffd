-- uses: rows list clocks nodes steps; keys: 7
-- Add a node below a live chain and within its limits.
-- ARGV: shard, key, row, tree, now, 1 to try only, then for each limit: scope and policy (a letter each), most, and the
-- keys spared
-- Answer: keys and rows of what was marked to make room; of a try, the keys of the ancestors.

local node, root = decode(ARGV[2], ARGV[3]), ARGV[4]
local now = unpacked('<d', ARGV[5])
local kind = text(node, KINDED)
local tag = kind_tag(kind)

local function refuse_taken()
  if call('HEXISTS', NODES, node.key) == 1 then refuse('there', node.key) end
  if SHARDS > 1 and not parent(node) then
    scan('k' .. sub(node.key, 1, 7), first('k' .. sub(node.key, 1, 7)), function(entry)
      if key_of(entry) == node.key then refuse('there', node.key) end
    end)
  end
  if node[ALIASED] > 0 and named(text(node, ALIASED), node.key) then refuse('taken') end
end

local function placed()
  local key = parent(node)
  if not key then
    if root ~= node.key or node[PLACED] > 0 then refuse('root') end
    return {}
  end
  local line = live_chain(key, root, now)
  if #line + 1 > 6 then refuse('deep') end
  return line
end

-- Return what makes room for one limit.
local function limiter()
  -- includes: crowds
  -- Return the live nodes of a scope: those with one prefix in the list.
  local function rivals_among(prefix, most, leaving)
    local found = keys(prefix, most)
    if #found < most then return {} end
    local living = {}
    for _, key in ipairs(keys(prefix)) do
      local rival = not leaving[key] and read(key)
      if rival and text(rival, KINDED) == kind and lives(rival, now) then living[#living + 1] = rival end
    end
    return living
  end

  local PREFIX = {
    o = function() return 'o' .. digest(text(node, OWNED), 5) .. tag end,
    c = function() return 'c' .. digest(text(node, CLIENTED), 5) .. tag end,
    p = function() return parent(node) and 'p' .. sub(parent(node), 1, 7) end,
  }
  local SAME = {
    o = function(rival) return text(rival, OWNED) == text(node, OWNED) end,
    c = function(rival) return text(rival, CLIENTED) == text(node, CLIENTED) end,
    p = function(rival) return parent(rival) == parent(node) end,
  }

  local function rivals(scope, most, leaving)
    local prefix, living = PREFIX[scope](), {}
    if not prefix then return living end
    for _, rival in ipairs(rivals_among(prefix, most, leaving)) do
      if SAME[scope](rival) then living[#living + 1] = rival end
    end
    return living
  end

  -- core.policy.victims: add to `leaving` what has to go for one limit.
  local function make_room(scope, policy, most, spare, leaving)
    local field, candidates, excess = policy == 'o' and CREATED or USED, {}, nil
    if scope == 't' then
      excess = crowd(kind, now, leaving.order) + 1 - most
      if excess > 0 and policy ~= 'r' then
        candidates = least_recent(kind, now, policy == 'o' and math.huge or excess, spare, leaving)
      end
    else
      local living = rivals(scope, most, leaving)
      excess = #living + 1 - most
      for _, rival in ipairs(living) do
        if may_go(rival, now, spare, leaving) then candidates[#candidates + 1] = rival end
      end
    end
    if excess <= 0 then return true end
    if policy == 'r' or #candidates < excess then return false end
    table.sort(candidates, function(one, other)
      if one[field] ~= other[field] then return one[field] < other[field] end
      return by_key(one.key, other.key)
    end)
    for number = 1, excess do
      local victim = candidates[number]
      leaving[victim.key] = victim
      leaving.order[#leaving.order + 1] = victim
    end
    return true
  end

  return make_room
end

return answer(function()
  refuse_taken()
  local line = placed()
  local ancestors, leaving, replaced = '', {order = {}}, {}
  for _, ancestor in ipairs(line) do ancestors = ancestors .. ancestor.key end
  local make_room = #ARGV > 6 and limiter()
  for from = 7, #ARGV, 4 do
    local scope, policy, most, spare = ARGV[from], ARGV[from + 1], tonumber(ARGV[from + 2]), ARGV[from + 3]
    if not make_room(scope, policy, most, spare .. ancestors, leaving) then refuse('full', (from - 7) / 4) end
  end
  if ARGV[6] == '1' then return {ancestors} end
  for _, victim in ipairs(leaving.order) do
    mark(victim, REPLACED, now)
    replaced[#replaced + 1] = victim.key
    replaced[#replaced + 1] = victim.row
  end
  insert(node)
  if node[HOLDS] > 0 then hold(line, 1) end
  return replaced
end)
