-- wrk script: requests taken at random from a file, which has a path and perhaps an API key on each line.
-- At the end prints one line for measure.py: how many answers came, in how many microseconds, and how many went wrong.

local requests = {}

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
end

function request()
    return requests[math.random(#requests)]
end

function done(summary)
    local errors = summary.errors
    local wrong = errors.connect + errors.read + errors.write + errors.status + errors.timeout
    print(string.format("RESULT %d %d %d", summary.requests, summary.duration, wrong))
end
