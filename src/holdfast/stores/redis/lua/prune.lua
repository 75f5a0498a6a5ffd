-- uses: rows; keys: 1
-- Drop the oldest events of a node until what is left is within bounds; the last key is the node's event log.
-- ARGV: shard, key, tree, count, size, before, streams whose newest event stays ...
-- Answer: how many were dropped.
--
-- An event is as old as the latest of those before it in its stream, so what is left of a stream has no gaps.

-- Texts are compared as bytes: Lua's own way is that of the server's locale.
local function less(one, other)
  for place = 1, math.min(#one, #other) do
    local a, b = one:byte(place), other:byte(place)
    if a ~= b then return a < b end
  end
  return #one < #other
end

local function newer(one, other)
  if one.at ~= other.at then return one.at > other.at end
  if one.number ~= other.number then return one.number > other.number end
  return less(other.stream, one.stream)
end

-- Return the events of all streams, and the last number of each stream.
local function gathered(log)
  local events, last, fields = {}, {}, call('HGETALL', log)
  for place = 1, #fields, 2 do
    local number, stream, value = unpacked('>I6', fields[place]), sub(fields[place], 7), fields[place + 1]
    if number == 0 then
      last[stream] = select(2, unpacked('>I6I6', value))
    else
      events[#events + 1] = {
        field = fields[place], number = number, stream = stream, at = unpacked('<d', value), size = #value - 8
      }
    end
  end
  return events, last
end

local function age(events)
  table.sort(events, function(one, other) return one.number < other.number end)
  local latest = {}
  for _, event in ipairs(events) do
    event.at = math.max(event.at, latest[event.stream] or event.at)
    latest[event.stream] = event.at
  end
  table.sort(events, newer)
end

return answer(function()
  local log, count, size, before = KEYS[#KEYS], tonumber(ARGV[4]), tonumber(ARGV[5]), unpacked('<d', ARGV[6])
  if not at(ARGV[2], ARGV[3]) then return {0} end
  local spare, cut, first, dropped = {}, {}, {}, 0
  for place = 7, #ARGV do spare[ARGV[place]] = true end
  local events, last = gathered(log)
  age(events)
  for place, event in ipairs(events) do
    local stream = event.stream
    size = size - event.size
    local out = event.at < before or place > count or size < 0
    if out and not (spare[stream] and event.number == last[stream]) then
      call('HDEL', log, event.field)
      cut[stream], dropped = true, dropped + 1
    else
      first[stream] = event.number
    end
  end
  for stream in pairs(cut) do
    local head = pack('>I6', 0) .. stream
    if first[stream] then
      call('HSET', log, head, pack('>I6I6', first[stream], last[stream]))
    else
      call('HDEL', log, head)
    end
  end
  return {dropped}
end)
