-- Reads the document that says what is carried: one item a line, percent-encoded words.
--   serinus 1 / salt S / stable V ADDRESS… / canary V BP ADDRESS… / other V BP ADDRESS… /
--   gap BP / mirror V BP ADDRESS… / user U / workflow W / header NAME VALUE / cookie NAME VALUE
local function plain(word)
  return (word:gsub("%%(%x%x)", function(code) return string.char(tonumber(code, 16)) end))
end

local function version(words, first_address)
  local addresses = {}
  for at = first_address, #words do
    local host, port = words[at]:match "^%[?([%x:.]+)%]?:(%d+)$"
    if not host then return nil, "no address: " .. words[at] end
    if host:find(":", 1, true) then host = "[" .. host .. "]" end
    addresses[#addresses + 1] = { host = host, port = tonumber(port) }
  end
  if #addresses == 0 then return nil, "no address of " .. (words[2] or "a version") end
  -- `id` is part of the names of counters, `name` is what people see.
  return { id = words[2], name = plain(words[2]), addresses = addresses, turn = 0 }
end

local function share(words)
  local bp = tonumber(words[3])
  if not bp or bp < 0 or bp > 10000 or bp % 1 ~= 0 then return nil, "no share: " .. (words[3] or "") end
  local made, wrong = version(words, 4)
  if made then made.bp, made.candidate = bp, true end
  return made, wrong
end

local items = {}

function items.serinus(split, words)
  if words[2] ~= "1" then return "it is of format " .. (words[2] or "?") .. ", not 1" end
  split.format = 1
end

function items.salt(split, words) split.salt = plain(words[2] or "") .. ":" end

function items.stable(split, words)
  local wrong
  split.stable, wrong = version(words, 3)
  return wrong
end

function items.canary(split, words)
  local made, wrong = share(words)
  if not made then return wrong end
  split.canary, split.candidates[#split.candidates + 1] = made, made
  made.above, split.total = split.total, split.total + made.bp
  made.below = split.total
end

function items.other(split, words)
  local made, wrong = share(words)
  if not made then return wrong end
  split.candidates[#split.candidates + 1] = made
  made.above, split.total = split.total, split.total + made.bp
  made.below = split.total
end

-- Buckets before the next candidate that are left to stable.
function items.gap(split, words)
  local bp = tonumber(words[2])
  if not bp or bp < 0 or bp % 1 ~= 0 then return "no gap: " .. (words[2] or "") end
  split.total = split.total + bp
end

function items.mirror(split, words)
  local wrong
  split.mirror, wrong = share(words)
  return wrong
end

function items.user(split, words) split.users[plain(words[2])], split.pins = true, true end

function items.workflow(split, words) split.workflows[plain(words[2])], split.pins = true, true end

local function match(split, prefix, words)
  local variable = prefix .. plain(words[2])
  if prefix == "http_" then variable = variable:lower():gsub("-", "_") end
  split.matches[#split.matches + 1] = { variable = variable, value = plain(words[3] or "") }
end

function items.header(split, words) match(split, "http_", words) end

function items.cookie(split, words) match(split, "cookie_", words) end

-- Returns the split, or nil and why it is none.
return function(text)
  local split = { salt = ":", total = 0, candidates = {}, users = {}, workflows = {}, matches = {} }
  for line in text:gmatch "[^\n]+" do
    local words = {}
    for word in line:gmatch "%S+" do words[#words + 1] = word end
    local item = items[words[1]]
    if not item then return nil, "unknown line: " .. line:sub(1, 60) end
    local wrong = item(split, words)
    if wrong then return nil, wrong end
  end
  if not split.format then return nil, "it has no format" end
  if not split.stable then return nil, "it has no stable version" end
  if split.total > 10000 then return nil, "its shares are more than everybody" end
  return split
end
