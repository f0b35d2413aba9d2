-- Sends a body of as many bytes as the argument says.
function init(args)
  wrk.method, wrk.body = "POST", string.rep("x", tonumber(args[1]))
  wrk.headers["Content-Type"] = "application/octet-stream"
  post = wrk.format()
end
function request() return post end
