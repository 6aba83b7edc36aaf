-- Brings the elements from number `next` on: first those that are in the processing list already (their answer was
-- lost, say), else new ones off the list. Elements are numbered as they are moved; the first one in the processing list
-- has number `base`. So the same call can be made again after any failure.
--
-- KEYS: list, processing list, its state. ARGV: id, next, count, bytes, RPOP or LPOP.
-- Answers {0, element…}, {1} if another process has taken over, {2} if the server has lost what it had told.
local list, processing, state = KEYS[1], KEYS[2], KEYS[3]
local next, count, bytes = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local kept = redis.call('HMGET', state, 'id', 'base')
if kept[1] ~= ARGV[1] then return {1} end
local base = tonumber(kept[2])
local finish = base + redis.call('LLEN', processing)
if next < base or next > finish then return {2} end
local answer, taken, sum, n = {0}, 0, 0, 1
while taken < count and sum < bytes do
  local some
  if next < finish then
    some = redis.call('LRANGE', processing, next - base, next - base + n - 1)
  else
    -- Popping comes first: after it, a server at its `maxmemory` lets the push through.
    some = redis.call(ARGV[5], list, n)
    if not some or #some == 0 then break end
    redis.call('RPUSH', processing, unpack(some))
    finish = finish + #some
  end
  for _, value in ipairs(some) do
    answer[#answer + 1] = value
    sum = sum + #value
  end
  next = next + #some
  taken = taken + #some
  -- As many as probably fit, but no more than twice as many: one does not know how large they are.
  local fit = math.floor((bytes - sum) * taken / math.max(sum, 1))
  n = math.max(1, math.min(count - taken, fit, n * 2, 1000))
end
return answer
