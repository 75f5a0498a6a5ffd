-- uses: rows list clocks nodes crowds; keys: 5
-- Count a shard's live nodes of a kind, and return those used least recently that may go.
-- ARGV: shard, kind, now, how many may be needed (-1: all that may go), the keys spared
-- Answer: the count, then key and row of each.

local now, excess = unpacked('<d', ARGV[3]), tonumber(ARGV[4])
local answer_ = {crowd(ARGV[2], now, {})}
if excess ~= 0 then
  for _, node in ipairs(least_recent(ARGV[2], now, excess < 0 and math.huge or excess, ARGV[5], {})) do
    answer_[#answer_ + 1] = node.key
    answer_[#answer_ + 1] = node.row
  end
end
return answer_
