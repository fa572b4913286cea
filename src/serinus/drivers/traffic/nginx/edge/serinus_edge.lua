-- Routes, fails over, breaks and counts for one service. What is carried lies in a shared dictionary and is
-- changed through the admin location; each worker keeps it parsed until the dictionary's revision moves.
local balancer = require "ngx.balancer"
local ffi = require "ffi"
local get_request = require("resty.core.base").get_request
local hash = require "serinus_xxh64"
local parse = require "serinus_split"

local held, counts = ngx.shared.serinus_split, ngx.shared.serinus_counts
local ngx, tonumber, random = ngx, tonumber, math.random
local get_method = ngx.req.get_method

local edge = { settings = {} }

ffi.cdef [[
  typedef struct { long seconds; long nanoseconds; } serinus_time;
  int clock_gettime(int id, serinus_time *at);
]]
local moment = ffi.new "serinus_time"

-- Milliseconds of the monotonic clock; NGINX's own time moves once per turn of its loop.
local function clock()
  ffi.C.clock_gettime(1, moment)
  return tonumber(moment.seconds) * 1e3 + tonumber(moment.nanoseconds) / 1e6
end

-- What is known of the requests of now, by where NGINX has them in memory. Tables are used again; `ngx.ctx`
-- would be a new one for each request, which grows while it is filled and is lost at internal redirects.
local requests, spare, spares = {}, {}, 0
local address = ffi.typeof "uintptr_t"

local function known()
  return requests[tonumber(ffi.cast(address, get_request()))]
end

-- At the beginning: there may be something left of a copy whose request has ended before it.
local function begun()
  local at = tonumber(ffi.cast(address, get_request()))
  local of = requests[at]
  if not of then
    if spares > 0 then
      of, spares = spare[spares], spares - 1
    else
      of = {}
    end
    requests[at] = of
  end
  of.began, of.ended, of.broken, of.over, of.is_copy, of.unit = false, false, false, false, false, false
  return of
end

local function ended(of)
  requests[tonumber(ffi.cast(address, get_request()))] = nil
  spares = spares + 1
  spare[spares] = of
end

-- Upper edges in milliseconds, 15 % apart: a quantile is off by 7 % at most.
local edges, step = {}, math.log(1.15)
do
  local upper = 0.05
  while upper < 60000 do
    edges[#edges + 1] = upper
    upper = upper * 1.15
  end
end
edge.edges = edges

local function bucket(ms)
  if ms <= edges[1] then return 1 end
  if ms > edges[#edges] then return #edges + 1 end
  local at = math.ceil(math.log(ms / edges[1]) / step) + 1
  if edges[at - 1] >= ms then return at - 1 end
  return at
end

local current, revision

local function carried()
  local now = held:get "revision"
  if now ~= revision then
    current, revision = parse(held:get "text" or ""), now
  end
  return current
end

-- In the master, at start and at every reload: what was carried before, from the file.
function edge.init(settings)
  edge.settings = settings
  if held:get "revision" then return end
  local file = io.open(settings.folder .. "/split")
  if not file then return end
  local text = file:read "*a"
  file:close()
  local split, wrong = parse(text)
  if not split then
    ngx.log(ngx.ERR, "serinus: the file of the split is unusable: ", wrong)
    return
  end
  held:set("text", text)
  held:set("revision", 1)
end

-- Returns why a text cannot be carried; nothing when it is.
function edge.carry(text)
  local split, wrong = parse(text)
  if not split then return wrong end
  local kept, full = held:safe_set("text", text)
  if not kept then return full end
  held:incr("revision", 1, 0)
end

function edge.text() return held:get "text" or "" end

function edge.split() return carried() end

-- A candidate that failed so many times in a row is out until its time is over. Then the first answer
-- decides: a success forgets the failures, a failure puts it out again.
local function is_out(side)
  local till = counts:get("o|" .. side.id)
  return till and till > ngx.now()
end
edge.is_out = is_out

-- What this worker has counted and not told yet, by a version's id. It is told ten times a second, and
-- before anybody is answered: a look at shared memory for each request would cost more.
local TELL_SECONDS = 0.1
local untold = {}

local function tally(id)
  local made = { errors = 0, total = 0 }
  for at = 1, #edges + 1 do made[at] = 0 end
  untold[id] = made
  return made
end

function edge.tell()
  for id, of in pairs(untold) do
    for at = 1, #edges + 1 do
      if of[at] > 0 then counts:incr("b|" .. id .. "|" .. at, of[at], 0) end
    end
    if of.errors > 0 then counts:incr("e|" .. id, of.errors, 0) end
    counts:incr("t|" .. id, of.total, 0)
  end
  untold = {}
end

function edge.init_worker()
  local made, wrong = ngx.timer.every(TELL_SECONDS, edge.tell)
  if not made then ngx.log(ngx.ERR, "serinus: no timer, so no counts: ", wrong) end
end

local function count(side, ms, failed)
  local id = side.id
  local of = untold[id] or tally(id)
  local at = bucket(ms)
  of[at], of.total = of[at] + 1, of.total + ms
  if failed then
    of.errors = of.errors + 1
    -- Failures in a row are everybody's, at once.
    if side.candidate then
      local row = counts:incr("f|" .. id, 1, 0)
      if row and row >= edge.settings.breaker_failures then
        counts:set("o|" .. id, ngx.now() + edge.settings.breaker_seconds)
      end
    end
  elseif side.candidate and (counts:get("f|" .. id) or 0) > 0 then
    counts:set("f|" .. id, 0)
  end
end

local function pinned(split, var)
  local workflow = var[edge.settings.keys[1]]
  if workflow and split.workflows[workflow] then return true end
  local user = var[edge.settings.keys[3]]
  if user and split.users[user] then return true end
  return false
end

local function matched(split, var)
  for _, match in ipairs(split.matches) do
    if var[match.variable] == match.value then return true end
  end
  return false
end

-- The first key present, in the SDK's order; without any the unit in the cookie, or a new one for it.
-- Written out: LuaJIT compiles no loop inside.
local function unit(var, of)
  local names = edge.settings.keys
  local key = var[names[1]]
  if not key or key == "" then key = var[names[2]] end
  if not key or key == "" then key = var[names[3]] end
  if not key or key == "" then key = var[names[4]] end
  if key and key ~= "" then return key end
  of.unit = var.request_id
  return of.unit
end

local function chosen(split, of)
  local var = ngx.var
  if split.canary then
    if split.pins and pinned(split, var) then return split.canary end
    if split.matches[1] and matched(split, var) then return split.canary end
  end
  if split.total == 0 then return split.stable end
  local at = tonumber(hash(split.salt .. unit(var, of)) % 10000ULL)
  if at >= split.total then return split.stable end
  if at < split.canary.below then return split.canary end
  for _, side in ipairs(split.candidates) do
    if at < side.below then return at >= side.above and side or split.stable end
  end
  return split.stable
end

-- Returns the name of the version that a request goes to.
local function routed(split, of, repeats)
  -- Whatever goes wrong in there, the request goes to stable.
  local sound, side = pcall(chosen, split, of)
  if not sound then
    ngx.log(ngx.ERR, "serinus: sent to stable: ", side)
    side = split.stable
  end
  if side.candidate and is_out(side) then side = split.stable end
  of.side, of.split, of.repeats = side, split, repeats
  if of.unit then ngx.var.serinus_cookie = edge.settings.cookie .. "=" .. of.unit .. edge.settings.cookie_ends end
  return side.name
end

-- In the location of all requests. The methods that may not be repeated have a location of their own, and
-- so have requests that are mirrored: then it returns nothing, and the variable has the location's name.
function edge.enter()
  local split = carried()
  local place
  if not split then
    place = "@serinus_none"
  else
    local repeats = edge.settings.repeats[get_method()]
    local mirror = split.mirror
    if mirror and random(0, 9999) < mirror.bp and not is_out(mirror) then
      place = repeats and "@serinus_copied" or "@serinus_copied_once"
    elseif repeats then
      local of = begun()
      if split.total == 0 and not split.pins and not split.matches[1] then
        of.side, of.split, of.repeats = split.stable, split, true
        return split.stable.name
      end
      return routed(split, of, true)
    else
      place = "@serinus_once"
    end
  end
  ngx.var.serinus_place = place
  return ""
end

-- In the others.
function edge.route()
  local split = carried()
  return split and routed(split, begun(), edge.settings.repeats[get_method()]) or ""
end

-- In the location of copies: the mirrored version, which counts like any other.
function edge.copy()
  local split = carried()
  local mirror = split and split.mirror
  if not mirror then return ngx.exit(204) end
  local of = begun()
  of.side, of.split, of.is_copy = mirror, split, true
end

local function next_address(side)
  local addresses = side.addresses
  if not addresses[2] then return addresses[1] end
  side.turn = side.turn % #addresses + 1
  return addresses[side.turn]
end

-- What was sent may not be sent again; NGINX itself thinks so of POST, but not of PUT or DELETE.
local function was_sent()
  return ngx.var.upstream_connect_time:sub(1, 1) ~= "-"
end

-- NGX_BUSY: NGINX answers 502 and tries no more. Any status given here would become a 500.
local NO_LIVE_SERVER = -3

-- Once per try: the first at the side chosen, the second at stable.
function edge.balance()
  local of, settings = known(), edge.settings
  local side, now = of.side, clock()
  local again = of.began
  if again then
    count(side, now - again, true)
    of.began = false
    of.over = of.is_copy or (not of.repeats and was_sent())
    if not of.over then
      side = of.split.stable
      of.side = side
      ngx.var.serinus_version = side.name
    end
  elseif (side.candidate or side.addresses[2]) and not of.is_copy then
    balancer.set_more_tries(1)
    if side.candidate then ngx.var.serinus_candidate = side.name end
  end
  if of.over then return ngx.exit(NO_LIVE_SERVER) end
  of.began = now
  -- nginx.conf has the times of stable, and those of a copy.
  if side.candidate and of.repeats and not of.is_copy then
    balancer.set_timeouts(settings.connect_seconds, settings.try_seconds, settings.try_seconds)
  elseif again then
    balancer.set_timeouts(settings.connect_seconds, settings.timeout_seconds, settings.timeout_seconds)
  end
  local address = next_address(side)
  local set, wrong = balancer.set_current_peer(address.host, address.port)
  if not set then
    ngx.log(ngx.ERR, "serinus: ", wrong)
    return ngx.exit(NO_LIVE_SERVER)
  end
end

-- The last piece tells when the answer was whole. NGINX flushes without one when the version broke it off,
-- and not at all when the client went away.
function edge.body()
  local of = known()
  if not of then return end
  local arg = ngx.arg
  if arg[2] then
    of.ended, of.broken = clock(), false
  else
    of.broken = arg[1] == ""
  end
end

function edge.log()
  local of = known()
  if not of then return end
  if of.began then
    local status = ngx.status
    count(of.side, (of.ended or clock()) - of.began, status >= 500 or of.broken)
  end
  ended(of)
end

return edge
