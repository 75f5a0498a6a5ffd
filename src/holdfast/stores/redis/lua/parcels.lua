-- uses: ; keys: 7
-- Return the parcels that lie in a shard and whose time is over. ARGV: shard, now
-- Answer: of each the shard it goes to, the parcel, its name, and the keys of all its nodes.

local now, found = unpacked('<d', ARGV[2]), {}
local kept = call('HGETALL', KEYS[7])
for number = 2, #kept, 2 do
  local lapse, shard, name = unpacked('<dHc8', kept[number])
  if lapse <= now then
    local parcel = sub(kept[number], 19)
    local overdue = {shard, parcel, name}
    for _, node in ipairs(cmsgpack.unpack(parcel)[7]) do overdue[#overdue + 1] = node[1] end
    found[#found + 1] = overdue
  end
end
return found
