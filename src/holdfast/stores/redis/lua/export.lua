-- uses: rows list clocks nodes steps; keys: 7
-- Take a node and all below it out of their tree, into a parcel that lies here until it has arrived in another shard.
-- ARGV: shard, key, tree, version, alias, mark, now, the new parent's key and tree, the parcel's lapse, target
-- shard and name (18 bytes), then the keys of all below; the keys after the shard's are the event logs of these, and of the node, in this order
-- Answer: the parcel, and the keys of all its nodes; nothing if what is below is not what the caller thinks.

local key, now = ARGV[2], unpacked('<d', ARGV[7])

local function walk(node, all)
  for _, child in ipairs(children(node.key)) do
    all[#all + 1] = child
    walk(child, all)
  end
  return all
end

return answer(function()
  local node = at(key, ARGV[3])
  if not node then refuse('gone', key) end
  refuse_ended(node, now)
  refuse_stale(node, tonumber(ARGV[4]))
  local logs, expected = {}, #ARGV - 10
  for number = 11, #ARGV do logs[ARGV[number]] = KEYS[#KEYS - #ARGV - 1 + number] end
  logs[key] = KEYS[#KEYS]
  local all = walk(node, {})
  if #all ~= expected then return {} end
  for _, below in ipairs(all) do
    if not logs[below.key] then return {} end
  end
  table.insert(all, 1, node)
  local weight, packed_nodes = node[HELD] + node[HOLDS], {}
  if weight > 0 then hold(above(node), -weight) end
  for number, moved in ipairs(all) do
    local log = call('HGETALL', logs[moved.key])
    packed_nodes[number] = {moved.key, moved.row, call('HGET', LEASES, moved.key) or '', log}
    remove(moved, true)
    call('UNLINK', logs[moved.key])
  end
  local parcel = cmsgpack.pack({key, ARGV[5], ARGV[6], ARGV[8], ARGV[9], weight, packed_nodes})
  call('HSET', KEYS[7], key, ARGV[10] .. parcel)
  local sent = {parcel}
  for number, moved in ipairs(all) do sent[number + 1] = moved.key end
  return sent
end)
