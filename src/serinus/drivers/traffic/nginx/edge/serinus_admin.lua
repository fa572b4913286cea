-- The admin locations: what is carried, what was counted, and both for Prometheus.
local edge = require "serinus_edge"

local counts = ngx.shared.serinus_counts
local admin = {}

local function body()
  ngx.req.read_body()
  local text = ngx.req.get_body_data()
  if text then return text end
  local name = ngx.req.get_body_file()
  if not name then return "" end
  local file = assert(io.open(name, "rb"))
  text = file:read "*a"
  file:close()
  return text
end

-- GET /split: the document that is carried. PUT /split: carry another.
function admin.split()
  if ngx.req.get_method() == "PUT" then
    local wrong = edge.carry(body())
    if wrong then
      ngx.status = 422
      ngx.print(wrong)
      return
    end
  end
  ngx.header["content-type"] = "text/plain; charset=utf-8"
  ngx.header["x-serinus-settings"] = edge.settings.digest
  ngx.header["x-serinus-scripts"] = edge.settings.scripts
  ngx.print(edge.text())
end

-- Every version that is carried or was counted: its counters by short name, and how long it is out.
local function counted()
  edge.tell()
  local found = {}
  local function of(id)
    found[id] = found[id] or { buckets = {}, errors = 0, total = 0, out = 0 }
    return found[id]
  end
  local split = edge.split()
  if split then
    of(split.stable.id)
    for _, side in ipairs(split.candidates) do of(side.id) end
    if split.mirror then of(split.mirror.id) end
  end
  for _, key in ipairs(counts:get_keys(0)) do
    local what, id, at = key:match "^(%w)|([^|]*)|?(%d*)$"
    local value = counts:get(key)
    if value and what == "b" then of(id).buckets[tonumber(at)] = value
    elseif value and what == "e" then of(id).errors = value
    elseif value and what == "t" then of(id).total = value
    elseif value and what == "o" then of(id).out = math.max(0, value - ngx.now())
    end
  end
  return found
end

-- GET /statistics: as JSON; versions are percent-encoded as in the document, buckets are not cumulative.
function admin.statistics()
  local parts = {}
  for id, of in pairs(counted()) do
    local buckets = {}
    for at = 1, #edge.edges + 1 do buckets[at] = ("%d"):format(of.buckets[at] or 0) end
    parts[#parts + 1] = ('"%s":{"errors":%d,"total_ms":%.3f,"out_seconds":%.3f,"buckets":[%s]}'):format(
      id, of.errors, of.total, of.out, table.concat(buckets, ","))
  end
  local edges = {}
  for at, upper in ipairs(edge.edges) do edges[at] = ("%.6g"):format(upper) end
  ngx.header["content-type"] = "application/json"
  ngx.print('{"edges_ms":[', table.concat(edges, ","), '],"versions":{', table.concat(parts, ","), "}}\n")
end

local function plain(id)
  local name = id:gsub("%%(%x%x)", function(code) return string.char(tonumber(code, 16)) end)
  return (name:gsub('[\\"]', "\\%0"):gsub("\n", "\\n"))
end

-- GET /metrics: as Prometheus reads it.
function admin.metrics()
  local found, lines = counted(), {}
  local function each(name, kind, write)
    lines[#lines + 1] = "# TYPE " .. name .. " " .. kind
    for id, of in pairs(found) do write(name, 'version="' .. plain(id) .. '"', of) end
  end
  local function add(...) lines[#lines + 1] = string.format(...) end
  each("serinus_edge_errors_total", "counter", function(name, label, of) add("%s{%s} %d", name, label, of.errors) end)
  each("serinus_edge_out", "gauge", function(name, label, of) add("%s{%s} %d", name, label, of.out > 0 and 1 or 0) end)
  each("serinus_edge_request_seconds", "histogram", function(name, label, of)
    local seen = 0
    for at, upper in ipairs(edge.edges) do
      seen = seen + (of.buckets[at] or 0)
      add('%s_bucket{%s,le="%.6g"} %d', name, label, upper / 1000, seen)
    end
    seen = seen + (of.buckets[#edge.edges + 1] or 0)
    add('%s_bucket{%s,le="+Inf"} %d', name, label, seen)
    add("%s_sum{%s} %.6f", name, label, of.total / 1000)
    add("%s_count{%s} %d", name, label, seen)
  end)
  ngx.header["content-type"] = "text/plain; version=0.0.4"
  ngx.print(table.concat(lines, "\n"), "\n")
end

return admin
