-- uses: rows list clocks nodes parcels; keys: 7
-- Compare a part of a shard's nodes, or of its list, with what there should be.
-- ARGV: shard, `nodes` or `list`, cursor; or `have` or `bear` and entries
-- Answer: of nodes, the next cursor, entries missing here, entries that belong to other shards' homes, and the keys of
-- nodes with a wrong number held below; of the list, the next cursor, entries without a node, and entries of nodes in
-- other shards; of `have`, those that are not in the list; of `bear`, those that no node here makes.

local function has(entry)
  local _, leaf = leaf_of(entry)
  local cut = place(leaf, entry)
  return sub(leaf, cut + 1, cut + WIDTH) == entry
end

local function all_of(node)
  local entries = by_text(node)
  for _, entry in ipairs(by_clock(node)) do entries[#entries + 1] = entry end
  return entries
end

local function bears(entry)
  local node = read(key_of(entry)) or sent(key_of(entry))
  if not node then return false end
  for _, own in ipairs(all_of(node)) do
    if own == entry then return true end
  end
  return false
end

local function weight(key)
  local sum = 0
  for _, child in ipairs(children(key)) do sum = sum + child[HOLDS] + weight(child.key) end
  return sum
end

local function nodes(cursor)
  local page = call('HSCAN', NODES, cursor, 'COUNT', 100)
  local lacking, elsewhere, heavy = {}, {}, {}
  for number = 1, #page[2], 2 do
    local node = decode(page[2][number], page[2][number + 1])
    for _, entry in ipairs(all_of(node)) do
      if AT_HOME[sub(entry, 1, 1)] and home(sub(entry, 2, 8)) ~= HERE then
        elsewhere[#elsewhere + 1] = entry
      elseif not has(entry) then
        lacking[#lacking + 1] = entry
      end
    end
    if weight(node.key) ~= node[HELD] then heavy[#heavy + 1] = node.key end
  end
  return {page[1], lacking, elsewhere, heavy}
end

local function entries(cursor)
  local page = call('HSCAN', LEAVES, cursor, 'COUNT', 4)
  local empty, elsewhere = {}, {}
  for number = 2, #page[2], 2 do
    for cut = 1, #page[2][number], WIDTH do
      local entry = sub(page[2][number], cut, cut + WIDTH - 1)
      if call('HEXISTS', KEYS[6], entry) == 0 then -- else it is reserved for a node that is just being written
        if shard_of(entry) ~= HERE then
          elsewhere[#elsewhere + 1] = entry
        elseif not bears(entry) then
          empty[#empty + 1] = entry
        end
      end
    end
  end
  return {page[1], empty, elsewhere}
end

local function without(test)
  local found = {}
  for number = 3, #ARGV do
    if not test(ARGV[number]) then found[#found + 1] = ARGV[number] end
  end
  return found
end

if ARGV[2] == 'nodes' then return nodes(ARGV[3]) end
if ARGV[2] == 'list' then return entries(ARGV[3]) end
return without(ARGV[2] == 'have' and has or bears)
