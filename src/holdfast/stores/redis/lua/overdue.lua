-- uses: rows parcels; keys: 7
-- Return the parcels that lie in a shard and whose time is over. ARGV: shard, now
-- Answer: of each the shard it goes to, the parcel, its name, and the keys of all its nodes.

local now, found = unpacked('<d', ARGV[2]), {}
for _, kept in ipairs(call('HVALS', KEYS[7])) do
  if unpacked('<d', kept) <= now then found[#found + 1] = opened(kept) end
end
return found
