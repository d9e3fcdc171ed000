-- wrk script: Telegram's deliveries from a file, each once, so many a second whether the server keeps up or not. Each line
-- has an inbox, its token, and the update.

dofile(debug.getinfo(1, "S").source:match("^@(.*)arrivals%.lua$") .. "result.lua")

local ffi = require("ffi")
ffi.cdef("typedef struct { long seconds; long nanos; } moment; int clock_gettime(int clock, moment *now);")

local requests = {}
local planned, sent = 0, 0
local rate, began

-- Milliseconds by the clock that never goes back.
local function now()
    local moment = ffi.new("moment")
    ffi.C.clock_gettime(1, moment)
    return tonumber(moment.seconds) * 1000 + tonumber(moment.nanos) / 1e6
end

function init(args)
    for line in io.lines(args[1]) do
        local inbox, token, update = line:match("^(%S+) (%S+) (.*)$")
        local headers = { ["Content-Type"] = "application/json", ["X-Telegram-Bot-Api-Secret-Token"] = token }
        requests[#requests + 1] = wrk.format("POST", "/hooks/telegram/" .. inbox, headers, update)
    end
    rate = tonumber(args[2])
end

-- How long this connection waits before it sends the next.
function delay()
    began = began or now()
    local due = began + planned * 1000 / rate
    planned = planned + 1
    return math.max(0, math.floor(due - now() + 0.5))
end

function request()
    sent = sent + 1
    return requests[sent] or error("the file has too few deliveries")
end
