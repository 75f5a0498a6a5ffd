-- Take from a token bucket, kept as the instant at which it is full again (stores/bucket.py).
-- KEYS: the bucket; ARGV: rate, burst, now, cost
-- Answer: the seconds to wait, 0 if it was granted.

local rate, burst, now, cost = struct.unpack('<dddd', ARGV[1])
local kept = redis.call('GET', KEYS[1])
local full_at = math.max(kept and struct.unpack('<d', kept) or now, now)
local after = full_at + cost / rate
local wait = after - burst / rate - now
if wait > 1e-6 then return struct.pack('<d', wait) end
if after > now then
  redis.call('SET', KEYS[1], struct.pack('<d', after), 'PX', string.format('%.0f', (after - now) * 1000 + 60000))
end
return struct.pack('<d', 0)
