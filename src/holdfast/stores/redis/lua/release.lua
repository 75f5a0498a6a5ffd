-- uses: rows list clocks nodes steps; keys: 5
-- Write records and let the next one acquire. A lease that went with its node needs no release.
-- ARGV: shard, key, tree, fence, then key and row of each record

return answer(function()
  local key, root, fence = ARGV[2], ARGV[3], tonumber(ARGV[4])
  if #ARGV < 5 and not at(key, root) then return end
  check_fence(key, root, fence)
  put_all(root, 5)
  set_lease(key, fence, 0)
end)
