-- The entries that a node's clocks make.

local HERE_TAG, FAR = pack('>H', HERE), 2 ^ 40 - 1

local function minute(instant) return instant ~= instant and FAR or math.max(0, math.min(floor(instant / 60), FAR)) end
local function micro(instant) return math.max(0, math.min(floor(instant * 1e6), 2 ^ 53 - 1)) end
local function digest(words, bytes) return pack('>I' .. bytes, tonumber(sub(redis.sha1hex(words), 1, 2 * bytes), 16)) end
local function kind_tag(kind) return digest(kind, 2) end
local function home(value) return unpacked('>H', value) % SHARDS end

local function by_clock(node)
  local tail = node.key .. HERE_TAG
  node.tag = node.tag or kind_tag(text(node, KINDED))
  local live = node[STATE] == LIVE
  local entries = {'u' .. node.tag .. pack('>I5', live and minute(node[USED]) or FAR) .. tail}
  if live then entries[2] = 'e' .. pack('>I7', minute(expiry(node))) .. tail end
  if node[DUE] == node[DUE] then entries[#entries + 1] = 'd' .. pack('>I7', micro(node[DUE])) .. tail end
  return entries
end

