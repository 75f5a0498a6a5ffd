-- uses: rows; keys: 3
-- Return a node of a live chain and its ancestors' keys; record the use if that is asked for and due.
-- ARGV: shard, key or '', alias or '', tree or '', owner (with a letter before it) or '', now, touch_after, busy_until
-- Answer: nil, or {key, row, ancestors…}; 0 if there is no such node here; {'', key, shard…} if it may be in other
-- shards, or on its way from here to one.

local key, alias, root, owner = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local now, after, busy = unpacked('<ddd', ARGV[6])

local function fits(node)
  return node and (root == '' or tree(node) == root) and (alias == '' or text(node, ALIASED) == alias) and node
end

-- Return the node with the alias, or where else it may be.
local function look_up()
  -- includes: list
  local node, elsewhere
  scan('a' .. sub(alias, 1, 7), first('a' .. sub(alias, 1, 7)), function(entry)
    local here = shard_of(entry) == HERE and read(key_of(entry))
    if here then
      node = fits(here)
    elseif SHARDS > 1 then
      elsewhere = elsewhere or {''}
      elsewhere[#elsewhere + 1] = key_of(entry)
      elsewhere[#elsewhere + 1] = shard_of(entry)
    end
    return node
  end)
  return node, elsewhere
end

-- Move a node in the list, where its use or its expiry has come into another span.
local function move(node, used, ends)
  -- includes: list clocks
  local function exchange(letter, old, new)
    if old == new then return end
    drop(letter .. old .. node.key .. HERE_TAG)
    put(letter .. new .. node.key .. HERE_TAG)
  end
  exchange('u' .. kind_tag(text(node, KINDED)), use_span(used), use_span(node[USED]))
  exchange('e', expiry_span(ends), expiry_span(expiry(node)))
  finish()
end

-- core.policy.touched
local function touch(node)
  local used, ends = node[USED], expiry(node)
  if node[SLIDING] == node[SLIDING] and now - node[SLID] >= node[SLIDES] then node[SLID] = now end
  if now > used then node[USED] = now end
  if busy > node[BUSY] then node[BUSY] = busy end
  node.row = encode(node)
  call('HSET', NODES, node.key, node.row)
  if floor(used / 16) ~= floor(node[USED] / 16) or floor(ends / 16) ~= floor(expiry(node) / 16) then
    move(node, used, ends)
  end
end

local node, elsewhere
if key ~= '' then node = fits(read(key)) else node, elsewhere = look_up() end
if not node then return elsewhere or 0 end
if owner ~= '' and text(node, OWNED) ~= sub(owner, 2) then return nil end
local line = above(node)
if not all_live(node, line, now) then return nil end
if after == after and (now - node[USED] >= after or busy > node[BUSY]) then touch(node) end
local loaded = {node.key, node.row}
for number, ancestor in ipairs(line) do loaded[number + 2] = ancestor.key end
return loaded
