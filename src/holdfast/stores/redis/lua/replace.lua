-- uses: rows list clocks nodes steps; keys: 7
-- Write over the same version: below a live chain, or under a fence.
-- ARGV: shard, key, row, tree, now, fence or ''
-- Answer: the row as it is now, without its payload.

return answer(function()
  local given = decode(ARGV[2], ARGV[3])
  local node = at(ARGV[2], ARGV[4])
  if not node then refuse('gone', ARGV[2]) end
  if ARGV[6] == '' then
    refuse_ended(node, (unpacked('<d', ARGV[5])))
  elseif lease(node.key) ~= tonumber(ARGV[6]) then
    refuse('taken over', node.key)
  end
  refuse_stale(node, given[VERSION])
  return {bare(write(node, given))}
end)
