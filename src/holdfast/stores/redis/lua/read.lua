-- Return the values of counters, 0 for those that are not there; KEYS: the counters; ARGV: now

local now, values = struct.unpack('<d', ARGV[1]), {}
for number, key in ipairs(KEYS) do
  local kept = redis.call('GET', key)
  local value, ends = 0, 0
  if kept then value, ends = struct.unpack('<dd', kept) end
  values[number] = string.format('%.0f', ends > now and value or 0)
end
return values
