-- Sends prepared requests in turn. The file holds whole HTTP requests, each followed by a zero byte.
--
-- wrk -t1 -s bench/wrk.lua URL -- FILE

local thread_of_all

function setup(thread)
  thread_of_all = thread
end

function init(args)
  requests, sent = {}, 0
  local file = assert(io.open(args[1], 'rb'))
  for request in file:read('*a'):gmatch('[^%z]+') do
    requests[#requests + 1] = request
  end
  file:close()
end

function request()
  sent = sent + 1
  return requests[(sent - 1) % #requests + 1]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "seconds": %.6f, "sent": %d, "refused": %d, "broken": %d, '
      .. '"p50": %.3f, "p95": %.3f, "p99": %.3f}\n',
    summary.requests, summary.duration / 1e6, thread_of_all:get('sent'), errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3))
end
