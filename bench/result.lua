-- What each wrk script prints at its end for wrk.py: how many answers came, in how many microseconds, and how many
-- went wrong.

function done(summary)
    local errors = summary.errors
    local wrong = errors.connect + errors.read + errors.write + errors.status + errors.timeout
    print(string.format("RESULT %d %d %d", summary.requests, summary.duration, wrong))
end
