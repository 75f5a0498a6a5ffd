-- uses: rows; keys: 1
-- Return events of a stream of a node, numbered higher than a number; the last key is the node's event log.
-- ARGV: shard, key, tree, stream, after, count
-- Answer: number, and instant with data, of each.

return answer(function()
  local log, stream, count, found = KEYS[#KEYS], ARGV[4], tonumber(ARGV[6]), {}
  local kept = at(ARGV[2], ARGV[3]) and call('HGET', log, pack('>I6', 0) .. stream)
  if not kept then return end
  local from, to = unpacked('>I6I6', kept)
  for number = math.max(from, tonumber(ARGV[5]) + 1), to do
    if #found >= 2 * count then break end
    local event = call('HGET', log, pack('>I6', number) .. stream)
    if event then
      found[#found + 1] = number
      found[#found + 1] = event
    end
  end
  return found
end)
