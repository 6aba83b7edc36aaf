-- Takes the processing list over: removes what is appended already, and makes it this process's own for some time.
--
-- KEYS: list, processing list, its state. ARGV: known id or '', next number of that id, a new id, how long to hold it in
-- ms, RPOP or LPOP.
-- Answers {0, id, next, what became of it} or {1, ms until it may be free} if another process holds it.
local list, processing, state = KEYS[1], KEYS[2], KEYS[3]
local known, next = ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local kept = redis.call('HMGET', state, 'id', 'base', 'until')
local id, base, held = kept[1], tonumber(kept[2] or 0), tonumber(kept[3] or 0)
local length = redis.call('LLEN', processing)
if id and id ~= known and held > now then return {1, held - now} end

-- Whatever `take.lua` does is tried here first, on nothing: a command that the user may not run, or a key of another
-- type, has to show before an element is on its way between two lists.
redis.call('LLEN', list)
redis.call(ARGV[5], list, 0)
redis.call('LTRIM', processing, 0, -1)
redis.call('RPUSH', processing, '')
redis.call('LTRIM', processing, 0, length - 1)
if length == 0 then redis.call('DEL', processing) end

local note = 'fine'
if id and id == known then
  local done = next - base
  if done > length then
    -- Numbers go on where they were. What is in the processing list may be older than what was lost, or newer: rather twice
    -- than never.
    note = 'lost'
    base = next
  elseif done < 0 then
    note = 'ahead'
  elseif done > 0 then
    redis.call('LTRIM', processing, done, -1)
    base = next
  end
else
  -- Of another life of the queue, or of none: nothing in the processing list is known to be appended.
  if known ~= '' then note = id and 'other' or 'forgotten' end
  id = ARGV[3]
end
redis.call('HSET', state, 'id', id, 'base', string.format('%.0f', base), 'until', string.format('%.0f', now + ARGV[4]))
return {0, id, string.format('%.0f', base), note}
