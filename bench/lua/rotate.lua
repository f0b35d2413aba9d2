-- Sends the requests of a list in turn: args are the list and the header's name.
local requests, n, i = {}, 0, 0
function init(args)
  for line in io.lines(args[1]) do
    local path, value = line:match("^([^\t]*)\t(.*)$")
    n = n + 1
    requests[n] = wrk.format("GET", path, {[args[2]] = value, ["Host"] = wrk.headers["Host"]})
  end
end
function request()
  i = i % n + 1
  return requests[i]
end
