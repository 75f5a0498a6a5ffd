-- uses: rows list clocks nodes steps; keys: 7
-- Forget a parcel that has arrived, and take out what named its nodes here; or unpack one that was refused.
-- ARGV: shard, key, the parcel's name, 1 to unpack it; the keys after the shard's are the event logs of its nodes in order

return answer(function()
  local kept = call('HGET', KEYS[7], ARGV[2])
  if not kept or sub(kept, 11, 18) ~= ARGV[3] then return end
  call('HDEL', KEYS[7], ARGV[2])
  local parcel = cmsgpack.unpack(sub(kept, 19))
  local weight, nodes = parcel[6], parcel[7]
  if ARGV[4] ~= '1' then
    for _, moved in ipairs(nodes) do
      if not read(moved[1]) then carry_all('-', by_text(decode(moved[1], moved[2]))) end
    end
    return
  end
  for number, moved in ipairs(nodes) do
    insert(decode(moved[1], moved[2]))
    if moved[3] ~= '' then call('HSET', LEASES, moved[1], moved[3]) end
    for field = 1, #moved[4], 2 do
      call('HSET', KEYS[#KEYS - #nodes + number], moved[4][field], moved[4][field + 1])
    end
  end
  if weight > 0 then hold(above(decode(nodes[1][1], nodes[1][2])), weight) end
end)
