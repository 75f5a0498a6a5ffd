-- The sorted list: leaves of entries, and where each leaf begins.

local WIDTH, MOST = 26, 64 * 26

local function place(leaf, entry) -- Lua compares texts by the server's locale, so bytes are compared as numbers
  local a, b, c, d, e = unpacked('>I6I6I6I6H', entry)
  local low, high = 0, #leaf / WIDTH
  while low < high do
    local middle = floor((low + high) / 2)
    local v, w, at = unpacked('>I6I6', leaf, middle * WIDTH + 1)
    local less = v < a or v == a and w < b
    if v == a and w == b then
      local x, y, z = unpacked('>I6I6H', leaf, at)
      less = x < c or x == c and (y < d or y == d and z < e)
    end
    if less then
      low = middle + 1
    else
      high = middle
    end
  end
  return low * WIDTH
end

-- Leaves that this script has changed; `finish` writes each of them once, when all is done.
local changed = {}

local function leaf_at(start) return changed[start] or call('HGET', LEAVES, start) or '' end

local function leaf_of(entry)
  local start = call('ZREVRANGEBYLEX', STARTS, '[' .. entry, '-', 'LIMIT', 0, 1)[1] or ''
  return start, leaf_at(start)
end

function finish()
  for start, leaf in pairs(changed) do
    if leaf == '' then
      call('HDEL', LEAVES, start)
      call('ZREM', STARTS, start)
    else
      call('HSET', LEAVES, start, leaf)
    end
  end
end

local function put(entry)
  local start, leaf = leaf_of(entry)
  local cut = place(leaf, entry)
  if sub(leaf, cut + 1, cut + WIDTH) == entry then return end
  if #leaf >= MOST then -- a list that grows at its end leaves full leaves behind
    local half = cut == #leaf and cut or MOST / 2
    local right = sub(leaf, half + 1)
    leaf = sub(leaf, 1, half)
    if cut < half or cut == half and right ~= '' then
      leaf = sub(leaf, 1, cut) .. entry .. sub(leaf, cut + 1)
    else
      right = sub(right, 1, cut - half) .. entry .. sub(right, cut - half + 1)
    end
    changed[sub(right, 1, WIDTH)] = right
    call('ZADD', STARTS, 0, sub(right, 1, WIDTH))
  else
    leaf = sub(leaf, 1, cut) .. entry .. sub(leaf, cut + 1)
  end
  changed[start] = leaf
end

local function drop(entry)
  if #entry ~= WIDTH then return end -- what a damaged row says
  local start, leaf = leaf_of(entry)
  local cut = place(leaf, entry)
  if sub(leaf, cut + 1, cut + WIDTH) == entry then
    changed[start] = sub(leaf, 1, cut) .. sub(leaf, cut + WIDTH + 1)
  end
end

-- Visit the entries that begin with `prefix`, in order, from `from` on, until `visit` returns true.
local function scan(prefix, from, visit)
  local start, leaf = leaf_of(from)
  local cut, size = place(leaf, from), #prefix
  while true do
    for first = cut + 1, #leaf, WIDTH do
      local entry = sub(leaf, first, first + WIDTH - 1)
      if sub(entry, 1, size) ~= prefix or visit(entry) then return end
    end
    start = call('ZRANGEBYLEX', STARTS, '(' .. start, '+', 'LIMIT', 0, 1)[1]
    if not start then return end
    leaf, cut = leaf_at(start), 0
  end
end

local NOTHING = string.rep('\0', WIDTH)
local function first(prefix) return prefix .. sub(NOTHING, #prefix + 1) end
local function key_of(entry) return sub(entry, 9, 24) end
local function shard_of(entry) return (unpacked('>H', entry, 25)) end

-- Return the keys with a prefix; with `most`, at most so many.
local function keys(prefix, most)
  local found = {}
  scan(prefix, first(prefix), function(entry)
    found[#found + 1] = key_of(entry)
    return most and #found >= most
  end)
  return found
end

local function by_key(one, other)
  local a, b, c = unpacked('>I6I6I4', one)
  local x, y, z = unpacked('>I6I6I4', other)
  return a < x or a == x and (b < y or b == y and c < z)
end
