-- uses: rows; keys: 1
-- Drop all but the newest events of a stream, or of those only what is older; the last key is the node's event log.
-- All of them, of whatever age: the stream is forgotten.
-- ARGV: shard, key, tree, stream, keep, before or ''
-- Answer: how many were dropped.

return answer(function()
  local log, stream, keep = KEYS[#KEYS], ARGV[4], tonumber(ARGV[5])
  local before = ARGV[6] ~= '' and unpacked('<d', ARGV[6]) or nil
  local head = pack('>I6', 0) .. stream
  local kept = at(ARGV[2], ARGV[3]) and call('HGET', log, head)
  if not kept then return {0} end
  local from, to = unpacked('>I6I6', kept)
  local newest, dropped, left = 0, 0, nil
  for number = to, from, -1 do
    local field = pack('>I6', number) .. stream
    local event = call('HGET', log, field)
    if event then
      newest = newest + 1
      if newest <= keep or before and unpacked('<d', event) >= before then
        left = number
      else
        call('HDEL', log, field)
        dropped = dropped + 1
      end
    end
  end
  if keep <= 0 and not before then
    call('HDEL', log, head)
    return {dropped}
  end
  call('HSET', log, head, pack('>I6I6', left or to + 1, to))
  return {dropped}
end)
