-- Removes the elements before number `next`: they are in the queue.
--
-- KEYS: processing list, its state. ARGV: id, next.
-- Answers 0, 1 if another process has taken over, 2 if the server has lost what it had told.
local processing, state = KEYS[1], KEYS[2]
local kept = redis.call('HMGET', state, 'id', 'base')
if kept[1] ~= ARGV[1] then return 1 end
local done = ARGV[2] - kept[2]
if done > redis.call('LLEN', processing) then return 2 end
if done > 0 then
  redis.call('LTRIM', processing, done, -1)
  redis.call('HSET', state, 'base', ARGV[2])
end
return 0
