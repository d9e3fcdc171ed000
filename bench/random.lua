-- wrk script: requests taken at random from a file, which has a path and perhaps an API key on each line. With a
-- number behind the file: in order, after so many.

dofile(debug.getinfo(1, "S").source:match("^@(.*)random%.lua$") .. "result.lua")

local requests, sent = {}, 0

function init(args)
    for line in io.lines(args[1]) do
        local path, key = line:match("^(%S+)%s*(%S*)$")
        local headers = {}
        if key ~= "" then
            headers["Authorization"] = "Bearer " .. key
        end
        -- Put together here, so that under load the client only picks.
        requests[#requests + 1] = wrk.format("GET", path, headers)
    end
    math.randomseed(os.time())
    if args[2] then
        sent = tonumber(args[2])
        request = following
    end
    io.stdout:write("READY\n")
    io.stdout:flush()
end

function request()
    return requests[math.random(#requests)]
end

function following()
    sent = sent % #requests + 1
    return requests[sent]
end
