-- uses: rows; keys: 1
-- Return the rows of some keys, false for those that are not here. ARGV: shard, keys

local found = {}
for number = 2, #ARGV do found[number - 1] = call('HGET', NODES, ARGV[number]) end
return found
