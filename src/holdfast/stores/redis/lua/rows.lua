-- Rows: a header of numbers, then texts, then the payload (codec.py).

local HEAD, TAIL = '<BBBBBBBHHHI4I4i4dddddddddd', 106
local STATE, REASON, HOLDS, PLACED, ALIASED, MARKED, KINDED, OWNED, CLIENTED, LABELLED = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
local HELD, ATTEMPTS, VERSION, CREATED, USED, IDLE, SLIDING, SLIDES = 11, 12, 13, 14, 15, 16, 17, 18
local SLID, ENDS, BUSY, DUE, ENDED = 19, 20, 21, 22, 23
local LIVE, ENDING, REPLACED = 0, 1, 5

-- A row that is too short is one that somebody has cut: it is read as if zeros followed, and as STRANDED (codec.py).
local function decode(key, row)
  if #row < TAIL - 1 then row = '\2' .. sub(row, 2) .. string.rep('\0', TAIL - 1 - math.max(#row, 1)) end
  local node = {unpacked(HEAD, row)}
  node.key, node.row = key, row
  return node
end

local function encode(node, texts)
  return pack(HEAD, unpack(node, 1, 23)) .. (texts or sub(node.row, TAIL))
end

local function read(key)
  local row = call('HGET', NODES, key)
  return row and decode(key, row)
end

local function parent(node) return node[PLACED] == 32 and sub(node.row, TAIL + 16, TAIL + 31) or nil end
local function tree(node) return node[PLACED] > 0 and sub(node.row, TAIL, TAIL + 15) or node.key end

local function text(node, field)
  local at = TAIL
  for before = PLACED, field - 1 do at = at + node[before] end
  return sub(node.row, at, at + node[field] - 1)
end

local function at(key, root)
  local node = read(key)
  return node and tree(node) == root and node or nil
end

-- core.policy.expires_at; a clock that is not set is not a number, and less than nothing
local function expiry(node)
  local ends = node[ENDS]
  if node[HELD] > 0 then return ends end
  local slid, idle = node[SLID] + node[SLIDING], node[USED] + node[IDLE]
  if slid < ends then ends = slid end
  if idle < ends then ends = idle end
  return ends
end

local function lives(node, now) return node[STATE] == LIVE and expiry(node) > now end

local function above(node)
  local line, key = {}, parent(node)
  while key do
    local ancestor = read(key)
    if not ancestor then break end
    line[#line + 1] = ancestor
    key = parent(ancestor)
  end
  return line
end

local function all_live(node, line, now)
  if not lives(node, now) then return false end
  for _, ancestor in ipairs(line) do
    if not lives(ancestor, now) then return false end
  end
  return true
end
