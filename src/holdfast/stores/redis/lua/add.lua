-- Add to a counter that starts anew when its time is over (+), or raise it to a number (>).
-- KEYS: the counter; ARGV: now, ttl (infinite: never), number, + or >
-- Answer: the new value.

local now, ttl = struct.unpack('<dd', ARGV[1])
local kept = redis.call('GET', KEYS[1])
local value, ends = 0, now
if kept then value, ends = struct.unpack('<dd', kept) end
if ends <= now then value, ends = 0, now + ttl end
local number = tonumber(ARGV[2])
value = ARGV[3] == '+' and value + number or math.max(value, number)
local entry = struct.pack('<dd', value, ends)
if ends == math.huge then
  redis.call('SET', KEYS[1], entry)
elseif ends > now then
  redis.call('SET', KEYS[1], entry, 'PX', string.format('%.0f', (ends - now) * 1000 + 60000))
end
return string.format('%.0f', value)
