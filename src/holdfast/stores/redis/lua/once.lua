-- Say whether this is the first time; KEYS: the name; ARGV: now, ttl

local now, ttl = struct.unpack('<dd', ARGV[1])
local kept = redis.call('GET', KEYS[1])
if kept and struct.unpack('<d', kept) > now then return 0 end
if ttl > 0 then
  redis.call('SET', KEYS[1], struct.pack('<d', now + ttl), 'PX', string.format('%.0f', ttl * 1000 + 60000))
end
return 1
