-- uses: rows list; keys: 6
-- Take a place in the queue of a scope that has a limit, or ask again how it stands.
-- ARGV: shard, scope (eight bytes: how its entries begin), key of the new node, its shard, most, now, lapse
-- Answer: how many are before us, then key and shard of what may count, if with those it may be too many.
--
-- An owner's or a client's entry is put in at once: if the worker dies, it names a node that is there, or none.

local scope, key, most = ARGV[2], ARGV[3], tonumber(ARGV[5])
local now, before, found = unpacked('<d', ARGV[6]), 0, {}
local queue, kept, waiting = KEYS[6], call('HGETALL', KEYS[6]), {[key] = true}
local mine = call('HGET', queue, scope .. key)
if not mine then
  mine = pack('<dd', unpacked('<d', ARGV[7]), call('HINCRBY', queue, '#', 1))
  call('HSET', queue, scope .. key, mine)
  local letter = sub(scope, 1, 1)
  if letter == 'o' or letter == 'c' then put(scope .. key .. pack('>H', tonumber(ARGV[4]))) end
end
local _, turn = unpacked('<dd', mine)
for number = 1, #kept, 2 do
  local field = kept[number]
  if #field == 24 and sub(field, 1, 8) == scope and sub(field, 9) ~= key then
    local lapse, other = unpacked('<dd', kept[number + 1])
    if lapse <= now then
      call('HDEL', queue, field)
    else
      waiting[sub(field, 9)] = true -- counted by its place, not by its entry
      if other < turn then before = before + 1 end
    end
  end
end
scan(scope, first(scope), function(entry)
  if not waiting[key_of(entry)] then
    found[#found + 1] = key_of(entry)
    found[#found + 1] = shard_of(entry)
  end
end)
if #found / 2 + before < most then found = {} end
finish()
return {before, unpack(found)}
