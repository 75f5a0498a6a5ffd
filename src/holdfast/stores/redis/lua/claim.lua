-- uses: rows list clocks nodes steps; keys: 4
-- Lease what is due and wholly of some kinds, earliest first.
-- ARGV: shard, now, until, count, number of kinds, the kinds, then the keys that may be leased (none: any)
-- Answer: key, row and fence of each; with a count below 0, nothing is leased and the fence is empty.

local now, until_ = unpacked('<dd', ARGV[2])
local count, kinds = tonumber(ARGV[3]), tonumber(ARGV[4])
local known, chosen = {}, {}
for number = 5, 4 + kinds do known[ARGV[number]] = true end
for number = 5 + kinds, #ARGV do chosen[ARGV[number]] = true end
local any, dry = #ARGV == 4 + kinds, count < 0

-- Say whether a node and all below it is of the kinds; below a root is its whole tree, which needs no walk.
local function closable(node)
  if not known[text(node, KINDED)] then return false end
  if parent(node) then
    for _, child in ipairs(children(node.key)) do
      if not closable(child) then return false end
    end
    return true
  end
  local whole, prefix = true, 't' .. sub(node.key, 1, 7)
  scan(prefix, first(prefix), function(entry)
    local below = read(key_of(entry))
    whole = not below or tree(below) ~= node.key or known[text(below, KINDED)]
    return not whole
  end)
  return whole
end

return answer(function()
  local claims, last = {}, micro(now)
  if count == 0 then return claims end
  scan('d', first('d'), function(entry)
    if unpacked('>I7', entry, 2) > last then return true end
    local key = key_of(entry)
    if not any and not chosen[key] then return false end
    local node = read(key)
    local _, leased = lease(key)
    if node and node[DUE] <= now and leased <= now and closable(node) then
      claims[#claims + 1] = {key, node.row, dry and '' or next_lease(key, until_)}
    end
    return #claims >= math.abs(count)
  end)
  return claims
end)
