-- uses: rows list clocks nodes steps; keys: 7
-- Mark a LIVE node ENDING.
-- ARGV: shard, key, tree, reason, now, and if only an idle node may be marked, its version
-- Answer: the row as it is now; nothing if it is absent, already marked, or not as it was.

return answer(function()
  local node, now, version = at(ARGV[2], ARGV[3]), unpacked('<d', ARGV[5]), tonumber(ARGV[6])
  if not node or node[STATE] ~= LIVE then return {} end
  if version and (node[VERSION] ~= version or node[HELD] > 0 or node[BUSY] > now) then return {} end
  return {mark(node, tonumber(ARGV[4]), now).row}
end)
