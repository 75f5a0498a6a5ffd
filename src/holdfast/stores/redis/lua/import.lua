-- uses: rows list clocks nodes steps; keys: 7
-- Unpack a parcel below its new parent. What is decided here, once, holds: the last key remembers it for an hour.
-- ARGV: shard, parcel, now; the keys after the shard's are the event logs of its nodes in order, then the decision
-- Answer: the moved node's row; nothing if it was unpacked before. Then homes are told once more what is here, since who
-- unpacked it may have died.

local key, alias, name, target, target_root, weight, nodes = unpack(cmsgpack.unpack(ARGV[2]))
local now, decision, fixed = unpacked('<d', ARGV[3]), KEYS[#KEYS], #KEYS - #nodes - 1

local function levels(list)
  local depth, deepest = {}, 0
  for _, node in ipairs(list) do
    depth[node.key] = (depth[parent(node)] or -1) + 1
    deepest = math.max(deepest, depth[node.key])
  end
  return deepest
end

local function arrive(number, node)
  local place = number == 1 and target_root .. target or target_root .. parent(node)
  local rest = sub(node.row, TAIL + node[PLACED])
  if number == 1 then
    rest = alias .. name .. sub(node.row, TAIL + node[PLACED] + node[ALIASED] + node[MARKED])
    node[ALIASED], node[MARKED], node[VERSION] = #alias, #name, node[VERSION] + 1
  end
  node[PLACED] = 32
  node.row = encode(node, place .. rest)
  insert(node)
  local _, _, lease_, log = unpack(nodes[number])
  if lease_ ~= '' then call('HSET', LEASES, node.key, lease_) end
  for field = 1, #log, 2 do call('HSET', KEYS[fixed + number], log[field], log[field + 1]) end
end

local function tell_homes()
  for _, kept in ipairs(nodes) do
    local node = at(kept[1], target_root)
    if node then carry_all('+', by_text(node)) end
  end
end

return answer(function()
  local decided = call('GET', decision)
  if decided == 'yes' then return tell_homes() end
  if decided then refuse('ended', target) end
  local moved = {}
  for number, kept in ipairs(nodes) do moved[number] = decode(kept[1], kept[2]) end
  local node = at(target, target_root)
  local line = node and above(node)
  local fits = node and all_live(node, line, now)
  call('SET', decision, 'no', 'PX', 3600000)
  if not fits then refuse('ended', target) end
  table.insert(line, 1, node)
  if #line + 1 + levels(moved) > 6 then refuse('deep') end
  call('SET', decision, 'yes', 'PX', 3600000)
  for number, arrived in ipairs(moved) do arrive(number, arrived) end
  if weight > 0 then hold(line, weight) end
  return {moved[1].row}
end)
