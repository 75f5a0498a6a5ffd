-- uses: rows list clocks nodes steps; keys: 5
-- Extend a lease that nobody has taken over, and write records.
-- ARGV: shard, key, tree, fence, until, then key and row of each record

return answer(function()
  local key, root, fence = ARGV[2], ARGV[3], tonumber(ARGV[4])
  check_fence(key, root, fence)
  put_all(root, 6)
  set_lease(key, fence, (unpacked('<d', ARGV[5])))
end)
