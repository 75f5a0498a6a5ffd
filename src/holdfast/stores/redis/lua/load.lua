-- uses: rows list clocks
-- Return a node of a live chain and its ancestors' keys; record the use if that is asked for and due.
-- ARGV: shard, key or '', alias or '', tree or '', owner (with a letter before it) or '', now, touch_after, busy_until
-- Answer: nil, or {key, row, ancestors…}; 0 if there is no such node here; {'', key, shard} if it is in another shard.

local key, alias, root, owner = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local now, after, busy = unpacked('<ddd', ARGV[6])
local node, elsewhere
if key ~= '' then
  node = read(key)
  if node and (root ~= '' and tree(node) ~= root or alias ~= '' and text(node, ALIASED) ~= alias) then node = false end
else
  scan('a' .. sub(alias, 1, 7), first('a' .. sub(alias, 1, 7)), function(entry)
    if shard_of(entry) ~= HERE then
      elsewhere = {'', key_of(entry), shard_of(entry)}
    else
      node = read(key_of(entry))
      if node and text(node, ALIASED) ~= alias then node = false end
    end
    return node
  end)
end
if not node then return elsewhere or 0 end
if owner ~= '' and text(node, OWNED) ~= sub(owner, 2) then return nil end
local line = above(node)
if not all_live(node, line, now) then return nil end

-- core.policy.touched; the list has minutes, so it is changed only if a minute is over
if after == after and (now - node[USED] >= after or busy > node[BUSY]) then
  local used, ends = minute(node[USED]), minute(expiry(node))
  local slides = node[SLIDING] == node[SLIDING] and now - node[SLID] >= node[SLIDES]
  if slides then node[SLID] = now end
  node[USED], node[BUSY] = math.max(now, node[USED]), math.max(busy, node[BUSY])
  node.row = encode(node)
  call('HSET', NODES, node.key, node.row)
  if used ~= minute(node[USED]) then
    local tag = kind_tag(text(node, KINDED))
    drop('u' .. tag .. pack('>I5', used) .. node.key .. HERE_TAG)
    put('u' .. tag .. pack('>I5', minute(node[USED])) .. node.key .. HERE_TAG)
  end
  if ends ~= minute(expiry(node)) then
    drop('e' .. pack('>I7', ends) .. node.key .. HERE_TAG)
    put('e' .. pack('>I7', minute(expiry(node))) .. node.key .. HERE_TAG)
  end
end
local loaded = {node.key, node.row}
for _, ancestor in ipairs(line) do loaded[#loaded + 1] = ancestor.key end
return loaded
