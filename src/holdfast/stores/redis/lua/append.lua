-- uses: rows; keys: 1
-- Add an event to a stream of a node; the last key is the node's event log.
-- ARGV: shard, key, tree, stream, data, now
-- Answer: the event's number.
--
-- A log is a hash: a stream's field with number 0 is its first and last number, the others are its events.

return answer(function()
  if not at(ARGV[2], ARGV[3]) then refuse('absent', ARGV[2]) end
  local log, stream = KEYS[#KEYS], ARGV[4]
  local kept = call('HGET', log, pack('>I6', 0) .. stream)
  local from, to = 1, 0
  if kept then from, to = unpacked('>I6I6', kept) end
  to = to + 1
  call('HSET', log, pack('>I6', 0) .. stream, pack('>I6I6', from, to), pack('>I6', to) .. stream, ARGV[6] .. ARGV[5])
  return {to}
end)
