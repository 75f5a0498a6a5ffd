-- uses: rows list; keys: 6
-- Reserve a name, alias or key, in its home, until its node is written or the reservation lapses.
-- ARGV: shard, entry, now, lapse, then entries that are known to be of no node that has the name
-- Answer: nothing if it is reserved; else key, shard and 1 if only reserved of each that may have it, and its entry.

local entry, now = ARGV[2], unpacked('<d', ARGV[3])
local empty, others, key = {}, {}, key_of(entry)
for number = 5, #ARGV do empty[ARGV[number]] = true end
scan(sub(entry, 1, 8), first(sub(entry, 1, 8)), function(other)
  local lapse = call('HGET', KEYS[6], other)
  local reserved = lapse and unpacked('<d', lapse) > now
  local ours = other == entry and lapse -- begun by ourselves, and not heard of since
  if not ours and (reserved or not empty[other]) then
    others[#others + 1] = {key_of(other), shard_of(other), reserved and 1 or 0, other}
  end
end)
if sub(entry, 1, 1) == 'k' and call('HEXISTS', NODES, key) == 1 then others[#others + 1] = {key, HERE, 0, ''} end
if #others == 0 then
  put(entry)
  call('HSET', KEYS[6], entry, ARGV[4])
end
finish()
return others
