-- Adds rows and says so, if nobody has said anything else since.
--
-- KEYS: the mark, the list or stream if it is one. ARGV: what the mark says, what it shall say, the command, then what the
-- command needs, then the rows.
local key, command = KEYS[2], ARGV[3]
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 1 end
if command == 'PUBLISH' then
  for i = 5, #ARGV do redis.call('PUBLISH', ARGV[4], ARGV[i]) end
elseif command == 'XADD' then
  -- A row is the number of its words, and those.
  local maxlen, i = ARGV[4], 5
  while i <= #ARGV do
    local words = tonumber(ARGV[i])
    if maxlen == '' then
      redis.call('XADD', key, '*', unpack(ARGV, i + 1, i + words))
    else
      redis.call('XADD', key, 'MAXLEN', '~', maxlen, '*', unpack(ARGV, i + 1, i + words))
    end
    i = i + 1 + words
  end
else
  for i = 5, #ARGV, 1000 do redis.call(command, key, unpack(ARGV, i, math.min(i + 999, #ARGV))) end
end
redis.call('SET', KEYS[1], ARGV[2])
return 0
