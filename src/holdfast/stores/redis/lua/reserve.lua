-- uses: rows list; keys: 6
-- Take a place in the queue of a scope that has a limit, or ask again how it stands.
-- ARGV: shard, scope (eight bytes: how its entries begin), key of the new node, most, now, lapse
-- Answer: how many are before us, then key and shard of what may count, if with those it may be too many.

local scope, key, most = ARGV[2], ARGV[3], tonumber(ARGV[4])
local now, before, found = unpacked('<d', ARGV[5]), 0, {}
local queue, kept = KEYS[6], call('HGETALL', KEYS[6])
local mine = call('HGET', queue, scope .. key)
if not mine then
  mine = pack('<dd', unpacked('<d', ARGV[6]), call('HINCRBY', queue, '#', 1))
  call('HSET', queue, scope .. key, mine)
end
local _, turn = unpacked('<dd', mine)
for number = 1, #kept, 2 do
  local field = kept[number]
  if #field == 24 and sub(field, 1, 8) == scope and sub(field, 9) ~= key then
    local lapse, other = unpacked('<dd', kept[number + 1])
    if lapse <= now then call('HDEL', queue, field) elseif other < turn then before = before + 1 end
  end
end
scan(scope, first(scope), function(entry)
  found[#found + 1] = key_of(entry)
  found[#found + 1] = shard_of(entry)
end)
if #found / 2 + before < most then found = {} end
return {before, unpack(found)}
