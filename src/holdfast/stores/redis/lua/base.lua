-- What all scripts over the trees of one shard begin with. Each names on its first line which parts follow, and how many
-- of the shard's keys it is given (shards.py). Making functions is most of what a short script costs, so it takes no
-- more parts than it uses.
--
-- All nodes of a shard are fields of one hash, so a script walks from a node to its ancestors within a declared key.
-- A row is a fixed header and its texts (see codec.py). All indexes of a shard are one sorted list of entries of 26
-- bytes: a letter, seven bytes of what is indexed, the node's key, the shard of the node. The list is cut into leaves
-- of a few dozen entries, fields of a hash; a sorted set holds where each leaf begins. So an entry takes some 30 bytes.
--
--   a alias           o owner and kind     k key, where a node is not in its key's own shard
--   p parent          c client and kind    n every node
--   t tree, of what is not its root        u kind, and span of last use
--   e span in which a live node expires    d microsecond at which a node is due
--
-- The entries a, o, c and k are kept in the shard that their value names (its home), all others beside their node.
-- What belongs to another shard's home is returned in `away`, and the caller takes it there.

local NODES, STARTS, LEAVES, LEASES, LIVING = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local call, sub, floor = redis.call, string.sub, math.floor
local pack, unpacked = struct.pack, struct.unpack
local HERE, SHARDS = unpacked('<HH', ARGV[1])
local away, finish = {}, nil

local function refuse(code, ...) error({code, ...}, 0) end

-- Run a script's body; a refusal, before which nothing was written, is its answer too. An answer is 0, what has to be done elsewhere, and the rest.
local function answer(body)
  local done, result = pcall(body)
  if done then
    if finish then finish() end
    return {0, away, unpack(result or {})}
  end
  if type(result) == 'table' then return result end
  return error(result, 0)
end
