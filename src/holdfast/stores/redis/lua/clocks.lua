-- The entries that a node's clocks make.

local HERE_TAG, FAR = pack('>H', HERE), 2 ^ 40 - 1

-- Instants in the list are coarse, so that a use seldom moves an entry: expiry by 16 s, as a sweep reads all of the
-- span it is in; last use by 256 s.
local function coarse(instant, span) return math.max(0, math.min(floor(instant / span), FAR)) end
local function expiry_span(instant) return pack('>I7', coarse(instant, 16)) end
local function use_span(instant) return pack('>I5', coarse(instant, 256)) end
local function micro(instant) return math.max(0, math.min(floor(instant * 1e6), 2 ^ 53 - 1)) end
local function digest(words, bytes) return pack('>I' .. bytes, tonumber(sub(redis.sha1hex(words), 1, 2 * bytes), 16)) end

local tags = {}
local function kind_tag(kind)
  local tag = tags[kind] or digest(kind, 2)
  tags[kind] = tag
  return tag
end

local function home(value) return unpacked('>H', value) % SHARDS end

local function by_clock(node)
  local tail = node.key .. HERE_TAG
  local live = node[STATE] == LIVE
  local entries = {'u' .. kind_tag(text(node, KINDED)) .. (live and use_span(node[USED]) or pack('>I5', FAR)) .. tail}
  if live then entries[2] = 'e' .. expiry_span(expiry(node)) .. tail end
  if node[DUE] == node[DUE] then entries[#entries + 1] = 'd' .. pack('>I7', micro(node[DUE])) .. tail end
  return entries
end

