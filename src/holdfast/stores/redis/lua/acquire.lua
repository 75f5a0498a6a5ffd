-- uses: rows list clocks nodes steps; keys: 5
-- Lease a node nobody has leased, and write records.
-- ARGV: shard, key, tree, now and until, 1 if it may have ended, then key and row of each record
-- Answer: the fence; nothing while somebody has it.

return answer(function()
  local key, root = ARGV[2], ARGV[3]
  local now, until_ = unpacked('<dd', ARGV[4])
  local node = at(key, root)
  if not node then refuse('absent', key) end
  if ARGV[5] ~= '1' then refuse_ended(node, now) end
  local _, leased = lease(key)
  if leased > now then return {} end
  put_all(root, 6)
  return {next_lease(key, until_)}
end)
