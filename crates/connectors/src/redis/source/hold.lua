-- Holds the processing list for some time from now on; 0 ms gives it back.
--
-- KEYS: the processing list's state. ARGV: id, ms.
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then return 1 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 'until', string.format('%.0f', now + ARGV[2]))
return 0
