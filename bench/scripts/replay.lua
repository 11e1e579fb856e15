-- Sends the requests of a file in turn, from the first again after the last, and reports as one JSON line.
--   wrk … -s replay.lua URL -- FILE
-- The file holds whole HTTP/1.1 requests, each after a line with its length in bytes. They are read before the load
-- starts, so that the client costs the same for every side. There is no response() on purpose: it would make wrk copy
-- every answer into Lua; summary.errors.status counts all statuses above 399 without that.

local requests = {}
local at = 0

function init(args)
  local file = assert(io.open(args[1], "rb"))
  for length in file:lines() do
    requests[#requests + 1] = assert(file:read(tonumber(length)))
  end
  file:close()
end

function request()
  at = at % #requests + 1
  return requests[at]
end

local report = '{"requests":%d,"microseconds":%d,"bytes":%d,"p50_us":%d,"p99_us":%d,"max_us":%d,' ..
  '"errors":{"status":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d}}\n'

function done(summary, latency)
  local e = summary.errors
  io.write("REPORT ", string.format(report, summary.requests, summary.duration, summary.bytes,
    latency:percentile(50), latency:percentile(99), latency.max, e.status, e.connect, e.read, e.write, e.timeout))
end
