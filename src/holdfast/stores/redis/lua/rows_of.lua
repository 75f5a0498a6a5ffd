-- uses: rows parcels; keys: 7
-- Return the rows of some keys; of a node on its way to another shard, its parcel (parcels.lua); false for the others.
-- ARGV: shard, keys

local found = {}
for number = 2, #ARGV do
  local row, _, kept = call('HGET', NODES, ARGV[number]), nil, nil
  if not row then _, kept = sent(ARGV[number]) end
  found[number - 1] = row or kept and opened(kept) or false
end
return found
