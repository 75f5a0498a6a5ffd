-- uses: rows list clocks nodes steps; keys: 7
-- Give a live node another alias and, with a parent, another place within this shard.
-- ARGV: shard, key, tree, version, alias or '' to try only, mark, now, the parent's key or '', its tree or ''
-- Answer: the row as it is now.

local key, root, version, alias, name = ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6]
local now, target, target_root = unpacked('<d', ARGV[7]), ARGV[8], ARGV[9]

-- Return all that is below, and on how many levels.
local function below(top)
  local depth, level, all = 0, children(top.key), {}
  while #level > 0 do
    local lower = {}
    for _, node in ipairs(level) do
      all[#all + 1] = node
      for _, child in ipairs(children(node.key)) do lower[#lower + 1] = child end
    end
    depth, level = depth + 1, lower
  end
  return all, depth
end

-- Take what holds out of the old ancestors and into the new ones; carry what is below to the new tree.
local function move(node)
  local line = live_chain(target, target_root, now)
  for _, ancestor in ipairs(line) do
    if ancestor.key == key then refuse('itself') end
  end
  local subtree, depth = below(node)
  if #line + 1 + depth > 6 then refuse('deep') end
  local weight = node[HELD] + node[HOLDS]
  if weight > 0 then
    hold(above(node), -weight)
    hold(live_chain(target, target_root, -1 / 0), weight)
  end
  for _, moved in ipairs(subtree) do
    update(moved, function() end, target_root .. sub(moved.row, TAIL + 16))
  end
end

return answer(function()
  local node = at(key, root)
  if not node then refuse('gone', key) end
  refuse_ended(node, now)
  refuse_stale(node, version)
  if alias == '' then return {} end
  if named(alias) then refuse('new taken') end
  if target ~= '' then move(node) end
  local placed = target ~= '' and target_root .. target or sub(node.row, TAIL, TAIL + node[PLACED] - 1)
  local rest = sub(node.row, TAIL + node[PLACED] + node[ALIASED] + node[MARKED])
  update(node, function(renamed)
    renamed[PLACED], renamed[ALIASED], renamed[MARKED] = #placed, #alias, #name
    renamed[VERSION] = renamed[VERSION] + 1
  end, placed .. alias .. name .. rest)
  return {node.row}
end)
