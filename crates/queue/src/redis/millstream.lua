#!lua name=millstream_1
-- The queue of Millstream on a Redis stream. docs/redis-queue.md draws the keys and says the rules.
--
-- Each function is one change, whole or not at all: it first checks everything, then writes. What it
-- refuses it says by a word in the first place of its answer, never by an error halfway.

-- Lives of data that this server process knows. A server that was restarted, or a replica that was
-- promoted, knows none: whoever meets it then has to look what is still there before anything is written.
local lives = {}

local DAY_MS = 86400000

local function text(number)
  return string.format('%.0f', number)
end

local function now_ms()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end

-- What most functions need of the queue, or the word that says why not.
local function state(meta, life)
  local m = redis.call('HMGET', meta, 'life', 'end', 'first', 'cum', 'cut', 'side', 'chunk', 'act')
  if not m[1] then
    return nil, { 'GONE' }
  end
  if m[1] ~= life or not lives[life] then
    return nil, { 'LIFE', m[1] }
  end
  return {
    stop = tonumber(m[2]),
    first = tonumber(m[3]),
    cum = tonumber(m[4]),
    cut = tonumber(m[5]),
    side = tonumber(m[6]),
    chunk = tonumber(m[7]),
    act = tonumber(m[8]),
  }
end

local function held(s)
  return s.cum - s.cut + s.side + s.chunk
end

local function answer(word, s, ...)
  return { word, text(s.stop), text(s.first), text(held(s)), ... }
end

-- A role's record: token, the moment until which it is taken (0: only until somebody asks), who has it.
local function role_of(roles, role)
  local record = redis.call('HGET', roles, role)
  if not record then
    return nil
  end
  local token, ends, process = string.match(record, '^(%d+) (%d+) (.*)$')
  return { token = token, ends = tonumber(ends), process = process }
end

-- Whether one who has this token (empty: who never took the role) may act in the role.
local function may(roles, role, token)
  local record = role_of(roles, role)
  if token ~= '' then
    return record and record.token == token
  end
  return not record or record.process == '' or record.ends <= now_ms()
end

-- keys: meta, appenders, frames. args: process, a life and a log id to begin with, format
local function hello(keys, args)
  local meta, appenders, frames = keys[1], keys[2], keys[3]
  local m = redis.call('HMGET', meta, 'format', 'life')
  local word = 'SAME'
  if not m[1] then
    if redis.call('EXISTS', frames) == 1 then
      return { 'LEFT' }
    end
    redis.call('HSET', meta, 'format', args[4], 'life', args[2], 'log', args[3], 'incarnation', '0',
      'end', '0', 'first', '0', 'cum', '0', 'cut', '0', 'side', '0', 'chunk', '0', 'chunks', '0',
      'act', '0', 'token', '0', 'epoch', '0')
    lives[args[2]] = true
  elseif m[1] ~= args[4] then
    return { 'FORMAT', m[1] }
  elseif not lives[m[2]] then
    word = 'OTHER'
  end
  redis.call('HSET', appenders, args[1], '0 ')
  return { word }
end

-- Begins an incarnation. What was in this life of the data beyond its end is not what is there now.
local function begin(meta, life)
  local m = redis.call('HMGET', meta, 'end', 'ended:' .. life)
  local incarnation = redis.call('HINCRBY', meta, 'incarnation', 1)
  redis.call('HSET', meta, 'began:' .. text(incarnation), m[2] or m[1])
  return incarnation
end

-- keys: meta. args: the life that ended, the one that begins, the one in which something was that is lost (or '')
local function revive(keys, args)
  local m = redis.call('HMGET', keys[1], 'life', 'end')
  if not m[1] then
    return { 'GONE' }
  end
  if m[1] == args[1] then
    redis.call('HSET', keys[1], 'life', args[2], 'ended:' .. m[1], m[2])
    lives[args[2]] = true
    if args[3] ~= '' then
      begin(keys[1], args[3])
    end
  end
  return { 'OK' }
end

-- keys: meta, appenders. args: process
local function look(keys, args)
  local all = redis.call('HGETALL', keys[1])
  local life = redis.call('HGET', keys[1], 'life')
  if not life then
    return { 'GONE' }
  end
  local own = redis.call('HGET', keys[2], args[1]) or ''
  return { lives[life] and 'ALIVE' or 'DEAD', own, unpack(all) }
end

-- One append of one process: several groups of frames, each stored whole or not at all.
-- keys: meta, frames, positions, appenders, roles, bell
-- args: life, process, sequence, bound on bytes, bound on frames, number of groups; then of each group:
--   number of roles, (role, token)…, number of positions, (split, position)…, bytes, number of frames, frame…
local function append(keys, args)
  local meta, frames, positions, appenders, roles, bell = unpack(keys)
  local s, why = state(meta, args[1])
  if not s then
    return why
  end
  local record = redis.call('HGET', appenders, args[2])
  if not record then
    return { 'UNKNOWN' }
  end
  local space = string.find(record, ' ', 1, true)
  local last, sequence = tonumber(string.sub(record, 1, space - 1)), tonumber(args[3])
  if sequence == last then
    -- Written once more, so that whoever waits for the disk waits for something.
    redis.call('HSET', appenders, args[2], record)
    return answer('OK', s, string.sub(record, space + 1))
  elseif sequence ~= last + 1 then
    return { 'UNKNOWN' }
  end
  if redis.call('XLEN', frames) ~= s.stop - s.first then
    return answer('HOLE', s)
  end
  local bytes_max, frames_max = tonumber(args[4]), tonumber(args[5])
  local groups, at, full = tonumber(args[6]), 7, false
  local outcomes, may_do = {}, {}
  local was = s.stop
  for group = 1, groups do
    local allowed = true
    local n = tonumber(args[at])
    at = at + 1
    for i = 1, n do
      local role, token = args[at], args[at + 1]
      local id = token .. ' ' .. role
      if may_do[id] == nil then
        may_do[id] = may(roles, role, token) and true or false
      end
      allowed = allowed and may_do[id]
      at = at + 2
    end
    local positions_at = at + 1
    local positions_n = tonumber(args[at])
    at = at + 1 + 2 * positions_n
    local need, n = tonumber(args[at]), tonumber(args[at + 1])
    at = at + 2
    if not allowed then
      outcomes[group] = 'r'
    elseif full or held(s) + need > bytes_max or s.stop - s.first + n > frames_max then
      -- Those behind it wait too, so that no one is overtaken for ever.
      full = true
      outcomes[group] = 'f'
    else
      outcomes[group] = text(s.stop)
      for i = at, at + n - 1 do
        redis.call('XADD', frames, '0-' .. text(s.stop + 1), 'f', args[i], 'c', text(s.cum))
        s.stop = s.stop + 1
        s.cum = s.cum + string.len(args[i])
      end
      for i = positions_at, positions_at + 2 * positions_n - 2, 2 do
        redis.call('HSET', positions, args[i], args[i + 1])
      end
    end
    at = at + n
  end
  local said = table.concat(outcomes, ',')
  redis.call('HSET', appenders, args[2], args[3] .. ' ' .. said)
  if s.stop > was then
    redis.call('HSET', meta, 'end', text(s.stop), 'cum', text(s.cum))
    redis.call('XADD', bell, 'MAXLEN', '1', '0-' .. text(s.stop), 'e', '')
  end
  return answer('OK', s, said)
end

-- What came of an append whose answer was lost; if it never came, it never will.
-- keys: meta, appenders. args: life, process, sequence
local function settle(keys, args)
  local s, why = state(keys[1], args[1])
  if not s then
    return why
  end
  local record = redis.call('HGET', keys[2], args[2])
  if not record then
    return { 'UNKNOWN' }
  end
  local space = string.find(record, ' ', 1, true)
  local last, sequence = tonumber(string.sub(record, 1, space - 1)), tonumber(args[3])
  if sequence == last then
    redis.call('HSET', keys[2], args[2], record)
    return answer('OK', s, string.sub(record, space + 1))
  elseif sequence ~= last + 1 then
    return { 'UNKNOWN' }
  end
  redis.call('HSET', keys[2], args[2], args[3] .. ' ')
  return answer('NONE', s)
end

-- keys: meta, roles. args: life, role, process, milliseconds (0: to act now, without a lease),
--   which ones may be taken over: 'expired' or 'unleased'
local function take(keys, args)
  local s, why = state(keys[1], args[1])
  if not s then
    return why
  end
  local role, process, lease = args[2], args[3], tonumber(args[4])
  local record, now = role_of(keys[2], role), now_ms()
  local ends = lease > 0 and now + lease or 0
  if record and record.process == process then
    if lease > 0 then
      redis.call('HSET', keys[2], role, record.token .. ' ' .. text(ends) .. ' ' .. process)
    end
    return answer('OK', s, record.token)
  end
  -- Whoever asks may know that this very process has died: it saw that on the same machine.
  local died = record and args[5] == 'dead ' .. record.process
  if record and record.process ~= '' and not died then
    if record.ends > now or (args[5] == 'unleased' and record.ends > 0) then
      return answer('HELD', s, record.process)
    end
  end
  local token = redis.call('HINCRBY', keys[1], 'token', 1)
  redis.call('HSET', keys[2], role, text(token) .. ' ' .. text(ends) .. ' ' .. process)
  return answer('OK', s, text(token))
end

-- keys: meta, roles. args: life, role, token
local function give_up(keys, args)
  local s, why = state(keys[1], args[1])
  if not s then
    return why
  end
  local record = role_of(keys[2], args[2])
  if record and record.token == args[3] then
    redis.call('HSET', keys[2], args[2], record.token .. ' 0 ')
  end
  return answer('OK', s)
end

-- Says that a process lives, and renews its roles.
-- keys: meta, roles, members. args: life, process, milliseconds, 1 if it collects, (role, token)…
local function beat(keys, args)
  local s, why = state(keys[1], args[1])
  if not s then
    return why
  end
  local now = now_ms()
  redis.call('HSET', keys[3], args[2], text(now) .. ' ' .. args[4])
  local out = {}
  for i = 5, #args, 2 do
    local record = role_of(keys[2], args[i])
    if record and record.token == args[i + 1] then
      redis.call('HSET', keys[2], args[i],
        record.token .. ' ' .. text(now + tonumber(args[3])) .. ' ' .. record.process)
      out[#out + 1] = ''
    else
      out[#out + 1] = record and record.process ~= '' and record.process or '?'
    end
  end
  return answer('OK', s, unpack(out))
end

-- Who lives; forgets those that have not for a day.
-- keys: meta, members, appenders. args: life, milliseconds
local function members(keys, args)
  local s, why = state(keys[1], args[1])
  if not s then
    return why
  end
  local now, collectors = now_ms(), 0
  local all = redis.call('HGETALL', keys[2])
  for i = 1, #all, 2 do
    local at, collects = string.match(all[i + 1], '^(%d+) (%d)$')
    if now - tonumber(at) > DAY_MS then
      redis.call('HDEL', keys[2], all[i])
      redis.call('HDEL', keys[3], all[i])
    elseif collects == '1' and now - tonumber(at) <= tonumber(args[2]) then
      collectors = collectors + 1
    end
  end
  return answer('OK', s, text(collectors))
end

-- Who has which role now. keys: roles
local function who(keys)
  local out, now = {}, now_ms()
  local all = redis.call('HGETALL', keys[1])
  for i = 1, #all, 2 do
    local ends, process = string.match(all[i + 1], '^%d+ (%d+) (.*)$')
    if process ~= '' and tonumber(ends) > now then
      out[#out + 1] = all[i]
      out[#out + 1] = process
      out[#out + 1] = ends
    end
  end
  return { 'OK', unpack(out) }
end

-- keys: meta, roles, members. args: life, process
local function leave(keys, args)
  local s, why = state(keys[1], args[1])
  if not s then
    return why
  end
  local all = redis.call('HGETALL', keys[2])
  for i = 1, #all, 2 do
    local token, ends, process = string.match(all[i + 1], '^(%d+) (%d+) (.*)$')
    if process == args[2] then
      redis.call('HSET', keys[2], all[i], token .. ' 0 ')
    end
  end
  redis.call('HDEL', keys[3], args[2])
  return answer('OK', s)
end

-- What all acts of the processor begin with. args: life, token, number of the act
local function act(keys, args)
  local s, why = state(keys[1], args[1])
  if not s then
    return nil, why
  end
  local record = role_of(keys[2], 'process')
  if not record or record.token ~= args[2] then
    return nil, answer('FENCED', s, record and record.process or '')
  end
  -- One that was given up as lost, and comes late.
  if tonumber(args[3]) <= s.act then
    return nil, answer('LATE', s)
  end
  s.act = tonumber(args[3])
  return s
end

local function save(meta, s)
  redis.call('HSET', meta, 'act', text(s.act), 'first', text(s.first), 'cut', text(s.cut),
    'side', text(s.side), 'chunk', text(s.chunk))
end

local function drop_chunks(chunks, s, ids, from, n)
  for i = from, from + n - 1 do
    s.chunk = s.chunk - redis.call('HSTRLEN', chunks, ids[i])
    redis.call('HDEL', chunks, ids[i])
  end
end

-- The cumulative bytes before the entry with this id.
local function before(stream, id)
  local found = redis.call('XRANGE', stream, id, id)
  return found[1] and tonumber(found[1][2][4])
end

-- A side stream's record: first entry, the end, bytes before the first, bytes before the end, generations.
-- What was cut off the end of a stream leaves ids behind that can never be used again. So entry N has the id
-- `G-(N+1)`, where the generation G grows with each cut; the record says at which entry each one begins.
local function side_of(sides, name)
  local record = redis.call('HGET', sides, name) or '0 0 0 0 0:0'
  local first, stop, cut, cum, rest = string.match(record, '^(%d+) (%d+) (%d+) (%d+) (.*)$')
  local side = { first = tonumber(first), stop = tonumber(stop), cut = tonumber(cut), cum = tonumber(cum),
    generations = {} }
  for from, generation in string.gmatch(rest, '(%d+):(%d+)') do
    table.insert(side.generations, { from = tonumber(from), generation = tonumber(generation) })
  end
  return side
end

local function save_side(sides, name, side)
  -- Generations that ended before the first entry are not needed any more.
  local all = side.generations
  while all[2] and all[2].from <= side.first do
    table.remove(all, 1)
  end
  local said = {}
  for i, g in ipairs(all) do
    said[i] = text(g.from) .. ':' .. text(g.generation)
  end
  redis.call('HSET', sides, name, text(side.first) .. ' ' .. text(side.stop) .. ' ' .. text(side.cut)
    .. ' ' .. text(side.cum) .. ' ' .. table.concat(said, ','))
end

local function id_of(side, number)
  local all, i = side.generations, #side.generations
  while i > 1 and all[i].from > number do
    i = i - 1
  end
  return text(all[i].generation) .. '-' .. text(number + 1)
end

-- The cumulative bytes before an entry of a side stream.
local function side_before(stream, side, number)
  if number >= side.stop then
    return side.cum
  end
  return before(stream, id_of(side, number))
end

local function trim_side(s, sides, name, stream, side, first)
  local cut = side_before(stream, side, first)
  if first > side.first and cut then
    s.side = s.side - (cut - side.cut)
    side.first, side.cut = first, cut
    redis.call('XTRIM', stream, 'MINID', '=', id_of(side, first))
    save_side(sides, name, side)
  end
end

-- keys: meta, roles, checkpoints, chunks, sides, a stream per side named
-- args: life, token, act, epoch, next, checkpoint, sides, (name, first, end)…, chunks to drop, id…
local function commit(keys, args)
  local s, why = act(keys, args)
  if not s then
    return why
  end
  local next, n = tonumber(args[5]), tonumber(args[7])
  if next > s.stop then
    return answer('AHEAD', s)
  end
  local sides = {}
  for i = 1, n do
    local name, stop = args[5 + 3 * i], tonumber(args[7 + 3 * i])
    sides[i] = side_of(keys[5], name)
    if stop > sides[i].stop then
      return answer('SIDE', s, name, text(sides[i].stop))
    end
  end
  redis.call('HSET', keys[3], args[4], args[6])
  redis.call('HSET', keys[1], 'epoch', args[4])
  for i = 1, n do
    local name, first = args[5 + 3 * i], tonumber(args[6 + 3 * i])
    trim_side(s, keys[5], name, keys[5 + i], sides[i], first)
  end
  drop_chunks(keys[4], s, args, 9 + 3 * n, tonumber(args[8 + 3 * n]))
  save(keys[1], s)
  return answer('OK', s)
end

-- keys: meta, roles, checkpoints, chunks, frames
-- args: life, token, act, first offset to keep, checkpoints to drop, epoch…, chunks to drop, id…
local function trim(keys, args)
  local s, why = act(keys, args)
  if not s then
    return why
  end
  local first = math.min(tonumber(args[4]), s.stop)
  if first > s.first then
    local cut = first == s.stop and s.cum or before(keys[5], '0-' .. text(first + 1))
    if not cut then
      return answer('HOLE', s)
    end
    redis.call('XTRIM', keys[5], 'MINID', '=', '0-' .. text(first + 1))
    s.first, s.cut = first, cut
  end
  local n = tonumber(args[5])
  for i = 6, 5 + n do
    redis.call('HDEL', keys[3], args[i])
  end
  drop_chunks(keys[4], s, args, 7 + n, tonumber(args[6 + n]))
  save(keys[1], s)
  return answer('OK', s)
end

-- keys: meta, roles, chunks. args: life, token, act, id, bytes
local function put_chunk(keys, args)
  local s, why = act(keys, args)
  if not s then
    return why
  end
  s.chunk = s.chunk + string.len(args[5]) - redis.call('HSTRLEN', keys[3], args[4])
  redis.call('HSET', keys[3], args[4], args[5])
  redis.call('HSET', keys[1], 'chunks', text(tonumber(args[4]) + 1))
  save(keys[1], s)
  return answer('OK', s)
end

-- keys: meta, roles, sides, the stream. args: life, token, act, name, the end it is known to have, entry…
local function side_append(keys, args)
  local s, why = act(keys, args)
  if not s then
    return why
  end
  local side = side_of(keys[3], args[4])
  if side.stop ~= tonumber(args[5]) then
    return answer('MOVED', s, text(side.stop))
  end
  for i = 6, #args do
    redis.call('XADD', keys[4], id_of(side, side.stop), 'e', args[i], 'c', text(side.cum))
    side.stop = side.stop + 1
    side.cum = side.cum + string.len(args[i])
    s.side = s.side + string.len(args[i])
  end
  save_side(keys[3], args[4], side)
  save(keys[1], s)
  return answer('OK', s, text(side.cum))
end

-- Makes a side stream begin and end where it counts; one that never counted goes.
-- keys: meta, roles, sides, the stream. args: life, token, act, name, first, end
local function side_cut(keys, args)
  local s, why = act(keys, args)
  if not s then
    return why
  end
  local stream, name = keys[4], args[4]
  local first, stop = tonumber(args[5]), tonumber(args[6])
  local side = side_of(keys[3], name)
  if stop > side.stop or first < side.first then
    return answer('SIDE', s, name, text(side.first), text(side.stop))
  end
  local cum = side_before(stream, side, stop)
  if not cum then
    return answer('HOLE', s)
  end
  for number = stop, side.stop - 1 do
    redis.call('XDEL', stream, id_of(side, number))
  end
  if stop < side.stop then
    local all = side.generations
    local generation = all[#all].generation + 1
    while all[1] and all[#all].from >= stop do
      table.remove(all)
    end
    table.insert(all, { from = stop, generation = generation })
    if stop == 0 then
      redis.call('DEL', stream)
    end
  end
  s.side = s.side - (side.cum - cum)
  side.stop, side.cum = stop, cum
  trim_side(s, keys[3], name, stream, side, first)
  if stop == 0 then
    redis.call('HDEL', keys[3], name)
  else
    save_side(keys[3], name, side)
  end
  save(keys[1], s)
  return answer('OK', s, text(side.cut), text(side.cum))
end

-- Entries of a side stream, as XRANGE gives them. keys: sides, the stream. args: name, from, number of them
local function side_read(keys, args)
  local side = side_of(keys[1], args[1])
  return redis.call('XRANGE', keys[2], id_of(side, tonumber(args[2])), '+', 'COUNT', args[3])
end

-- keys: meta, roles, chunks. args: life, token, act, id…
local function sweep(keys, args)
  local s, why = act(keys, args)
  if not s then
    return why
  end
  drop_chunks(keys[3], s, args, 4, #args - 3)
  save(keys[1], s)
  return answer('OK', s)
end

-- keys: meta. args: life, the one in which something was that is lost, the incarnation before
local function incarnate(keys, args)
  local s, why = state(keys[1], args[1])
  if not s then
    return why
  end
  if redis.call('HGET', keys[1], 'incarnation') == args[3] then
    begin(keys[1], args[2])
  end
  return answer('OK', s, redis.call('HGET', keys[1], 'incarnation'))
end

-- What the server answers for may not be on its disk. keys: meta
local function relax(keys)
  if redis.call('EXISTS', keys[1]) == 0 then
    return { 'GONE' }
  end
  redis.call('HSET', keys[1], 'relaxed', '1')
  return { 'OK' }
end

-- A write to wait for. keys: meta. args: life
local function mark(keys, args)
  local s, why = state(keys[1], args[1])
  if not s then
    return why
  end
  redis.call('HINCRBY', keys[1], 'marks', 1)
  return answer('OK', s)
end

local function register(name, callback, flags)
  redis.register_function { function_name = 'millstream_1_' .. name, callback = callback, flags = flags }
end

-- Only appends are refused when the server is out of memory: all else is what makes room.
register('append', append, {})
register('hello', hello, { 'allow-oom' })
register('look', look, { 'allow-oom' })
register('revive', revive, { 'allow-oom' })
register('relax', relax, { 'allow-oom' })
register('settle', settle, { 'allow-oom' })
register('mark', mark, { 'allow-oom' })
register('take', take, { 'allow-oom' })
register('give_up', give_up, { 'allow-oom' })
register('beat', beat, { 'allow-oom' })
register('members', members, { 'allow-oom' })
register('who', who, { 'no-writes', 'allow-oom' })
register('leave', leave, { 'allow-oom' })
register('commit', commit, { 'allow-oom' })
register('trim', trim, { 'allow-oom' })
register('put_chunk', put_chunk, { 'allow-oom' })
register('side_append', side_append, { 'allow-oom' })
register('side_cut', side_cut, { 'allow-oom' })
register('side_read', side_read, { 'no-writes', 'allow-oom' })
register('sweep', sweep, { 'allow-oom' })
register('incarnate', incarnate, { 'allow-oom' })
