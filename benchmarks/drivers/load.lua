-- Drives wrk: one method and one body for every request, and the figures as one line of JSON.
-- Arguments: METHOD BODY_BYTES

function init(args)
   wrk.method = args[1]
   local size = tonumber(args[2])
   if size > 0 then
      wrk.body = string.rep("x", size)
   end
end

function done(summary, latency, requests)
   local e = summary.errors
   io.write(string.format(
      '{"requests":%d,"microseconds":%d,"p50_us":%.0f,"p99_us":%.0f,"errors":%d}\n',
      summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
      e.connect + e.read + e.write + e.status + e.timeout))
end
