-- uses: rows list; keys: 6
-- Bring a home up to date with what was written in other shards.
-- ARGV: shard, then what to do: `+` and an entry, to put it in and take its reservation away; `-` and an entry, to take
-- both out; `!`, a scope and a key, to give a place in the scope's queue back

for number = 2, #ARGV do
  local sign, entry = sub(ARGV[number], 1, 1), sub(ARGV[number], 2)
  if sign == '+' then put(entry) elseif sign == '-' then drop(entry) end
  call('HDEL', KEYS[6], entry)
end
finish()
return {0, {}}
