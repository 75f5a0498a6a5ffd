-- uses: rows list clocks nodes steps; keys: 7
-- Remove the nodes that have no children, in order.
-- ARGV: shard, the last one's fence or '', then key and tree of each; the keys after the shard's are their event logs
-- Answer: how many were removed.

return answer(function()
  if ARGV[2] ~= '' then check_fence(ARGV[#ARGV - 1], ARGV[#ARGV], tonumber(ARGV[2])) end
  local removed = 0
  for from = 3, #ARGV, 2 do
    local node = at(ARGV[from], ARGV[from + 1])
    if node and not has_children(node.key) then
      if node[HOLDS] > 0 then hold(above(node), -1) end
      remove(node)
      call('UNLINK', KEYS[#KEYS - #ARGV / 2 + (from + 1) / 2])
      removed = removed + 1
    end
  end
  return {removed}
end)
