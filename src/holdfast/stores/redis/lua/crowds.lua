-- All live nodes of a kind: how many, and which of them were used least recently.

-- Count them without reading them: those in state LIVE, less those that have expired, less some that are leaving.
local function crowd(kind, now, leaving)
  local number = tonumber(call('HGET', LIVING, kind) or 0)
  local last = coarse(now, 16)
  scan('e', first('e'), function(entry)
    if unpacked('>I7', entry, 2) > last then return true end
    local node = read(key_of(entry))
    if node and text(node, KINDED) == kind and expiry(node) <= now then number = number - 1 end
  end)
  for _, node in ipairs(leaving) do
    if text(node, KINDED) == kind then number = number - 1 end
  end
  return number
end

local function may_go(node, now, spare, leaving)
  local key = node.key
  if leaving[key] or node[HELD] > 0 or node[BUSY] > now or not lives(node, now) then return false end
  for cut = 1, #spare, 16 do
    if sub(spare, cut, cut + 15) == key then return false end
  end
  return true
end

-- Return those that may go, by the span of their last use: as many whole spans as hold `excess` of them.
local function least_recent(kind, now, excess, spare, leaving)
  local found, last, prefix = {}, nil, 'u' .. kind_tag(kind)
  scan(prefix, first(prefix), function(entry)
    local used = sub(entry, 4, 8)
    if used ~= last and #found >= excess then return true end
    last = used
    local node = read(key_of(entry))
    if node and text(node, KINDED) == kind and may_go(node, now, spare, leaving) then found[#found + 1] = node end
  end)
  return found
end
