-- uses: rows list clocks nodes; keys: 5
-- Count a shard's nodes. ARGV: shard, now
-- Answer: all, expired, due, leased, and then kind, state and number; who lives is counted by the server all the time.

local now, expired, due, leased, counts = unpacked('<d', ARGV[2]), 0, 0, 0, {}
local last, answered = coarse(now, 16), {}

scan('e', first('e'), function(entry)
  if unpacked('>I7', entry, 2) > last then return true end
  local node = read(key_of(entry))
  if node and expiry(node) <= now then expired = expired + 1 end
end)
scan('d', first('d'), function(entry)
  if unpacked('>I7', entry, 2) > micro(now) then return true end
  due = due + 1
end)
for _, kept in ipairs(call('HVALS', LEASES)) do
  local _, until_ = unpacked('<dd', kept)
  if until_ > now then leased = leased + 1 end
end
local living = call('HGETALL', LIVING)
for number = 1, #living, 2 do
  local kind, states = living[number], {[LIVE] = tonumber(living[number + 1])}
  local ended = 'u' .. kind_tag(kind) .. pack('>I5', FAR)
  scan(ended, first(ended), function(entry)
    local node = read(key_of(entry))
    if node and text(node, KINDED) == kind then states[node[STATE]] = (states[node[STATE]] or 0) + 1 end
  end)
  for state, count in pairs(states) do
    for _, part in ipairs({kind, state, count}) do answered[#answered + 1] = part end
  end
end
return {call('HLEN', NODES), expired, due, leased, unpack(answered)}
