-- Parcels: nodes on their way into a tree of another shard. Each lies in the shard they leave, until they have arrived.

-- Return a node that is on its way, as it was when it left, and its parcel.
local function sent(key)
  for _, kept in ipairs(call('HVALS', KEYS[7])) do
    for _, node in ipairs(cmsgpack.unpack(sub(kept, 19))[7]) do
      if node[1] == key then return decode(key, node[2]), kept end
    end
  end
end

-- Return the shard a parcel goes to, what is in it, its name, and the keys of all its nodes.
local function opened(kept)
  local _, shard, name = unpacked('<dHc8', kept)
  local parcel = sub(kept, 19)
  local address = {shard, parcel, name}
  for _, node in ipairs(cmsgpack.unpack(parcel)[7]) do address[#address + 1] = node[1] end
  return address
end
