#!lua name=millstream_2
-- The queue of Millstream on a Redis stream. docs/redis-queue.md draws the keys and says the rules.
--
-- Each function is one change, whole or not at all: it first checks everything, then writes. What it
-- refuses it says by a word in the first place of its answer, never by an error halfway.
--
-- Frames do not come through here: to copy them would cost more than to store them. An append is a transaction: the
-- frames are added to the stream, then the function `append` counts them in, or takes them away again. What is in the
-- stream beyond the `end` in `meta` is not there.

-- Lives of data that this server process knows. A server that was restarted, or a replica that was
-- promoted, knows none: whoever meets it then has to look what is still there before anything is written.
local lives = {}

local DAY_MS = 86400000

-- Entry N of the frames has the id `G-(N+1)`. `XADD` with the id `*` counts on by itself, because a generation G is
-- far beyond what a clock says: in the year 33658. An id that was taken away can not be used again, so each time
-- the next generation begins. What has an id by the clock was added after somebody else deleted the stream.
local FIRST_GENERATION = 1000000000000000

local function text(number)
  return string.format('%.0f', number)
end

local function now_ms()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end

-- The queue's numbers; nil if there are none.
local function numbers(meta)
  local m = redis.call('HMGET', meta, 'life', 'end', 'first', 'cum', 'cut', 'side', 'chunk', 'act', 'generation')
  return m[1] and {
    life = m[1],
    stop = tonumber(m[2]),
    first = tonumber(m[3]),
    cum = tonumber(m[4]),
    cut = tonumber(m[5]),
    side = tonumber(m[6]),
    chunk = tonumber(m[7]),
    act = tonumber(m[8]),
    generation = tonumber(m[9]),
  }
end

-- What most functions need of the queue, or the word that says why not.
local function state(meta, life)
  local s = numbers(meta)
  if not s then
    return nil, { 'GONE' }
  end
  if s.life ~= life or not lives[life] then
    return nil, { 'LIFE', s.life }
  end
  return s
end

local function held(s)
  return s.cum - s.cut + s.side + s.chunk
end

local function answer(word, s, ...)
  return { word, text(s.stop), text(s.first), text(held(s)), ... }
end

local function frame_id(s, number)
  return text(s.generation) .. '-' .. text(number + 1)
end

-- Deletes entries; how many there were.
local function delete(stream, ids)
  local gone = 0
  for i = 1, #ids, 1000 do
    gone = gone + redis.call('XDEL', stream, unpack(ids, i, math.min(i + 999, #ids)))
  end
  return gone
end

-- Deletes all entries between two ids; whether there were any.
local function clear(stream, from, to)
  local any = false
  while true do
    local found = redis.call('XRANGE', stream, from, to, 'COUNT', '16')
    if #found == 0 then
      return any
    end
    any = true
    for i, entry in ipairs(found) do
      found[i] = entry[1]
    end
    delete(stream, found)
  end
end

-- What was added to a stream that somebody had deleted goes, and so does the stream that came of that.
local function clear_strays(frames)
  if clear(frames, '1-0', text(FIRST_GENERATION - 1)) and redis.call('XLEN', frames) == 0 then
    redis.call('DEL', frames)
  end
end

-- Makes the stream go on behind the end, in the next generation if it has been beyond that.
local function go_on_from_end(meta, frames, s)
  local last = frame_id(s, s.stop - 1)
  if redis.call('EXISTS', frames) == 1 then
    redis.call('XSETID', frames, last)
  else
    redis.call('XADD', frames, last, 'f', '')
    redis.call('XDEL', frames, last)
  end
  redis.call('HSET', meta, 'generation', text(s.generation))
end

-- Takes away what is beyond the end: the entries that this transaction added last, so many, and those that
-- transactions left whose function was missing.
local function take_back(meta, frames, s, added)
  local ids = {}
  for i = 1, added do
    ids[i] = frame_id(s, s.stop + i - 1)
  end
  delete(frames, ids)
  clear(frames, '(' .. frame_id(s, s.stop - 1), '+')
  clear_strays(frames)
  if redis.call('EXISTS', frames) == 1 then
    s.generation = s.generation + 1
    go_on_from_end(meta, frames, s)
  end
end

-- Deletes what is between the frames of one append and those of the next, and behind the last.
-- Redis (7.0) that is killed while it writes a transaction to its file drops it when it is started, and when it is started
-- once more does the first commands of it all the same, before those that came after. As each life begins a
-- generation, what comes of that has an id that is no frame's.
-- Nothing is done unless the appends say without a gap which frames there are.
local function clear_between(frames, appends, s)
  local ranges, from, last, stop = {}, '-', nil, nil
  repeat
    local found = redis.call('XRANGE', appends, from, '+', 'COUNT', '1000')
    for _, append in ipairs(found) do
      local generation, start = append[2][2], tonumber(string.match(append[1], '%d+$')) - 1
      local _, count = string.gsub(append[2][6], '%d+', '')
      if stop and stop ~= start then
        return
      elseif not last and start <= s.first then
        last = text(FIRST_GENERATION) .. '-0'
      end
      if last then
        ranges[#ranges + 1] = { last, '(' .. generation .. '-' .. text(start + 1) }
      end
      stop, last = start + count, '(' .. generation .. '-' .. text(start + count)
      from = '(' .. append[1]
    end
  until #found < 1000
  if stop == s.stop then
    for _, range in ipairs(ranges) do
      clear(frames, range[1], range[2])
    end
    clear(frames, last, '+')
  end
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

-- keys: meta, appenders, frames. args: process, a life and an id of the queue to begin with, format
local function hello(keys, args)
  local meta, appenders, frames = keys[1], keys[2], keys[3]
  local m = redis.call('HMGET', meta, 'format', 'life')
  local word = 'SAME'
  if not m[1] then
    clear_strays(frames)
    if redis.call('EXISTS', frames) == 1 then
      return { 'LEFT' }
    end
    redis.call('HSET', meta, 'format', args[4], 'life', args[2], 'id', args[3], 'incarnation', '0',
      'end', '0', 'first', '0', 'cum', '0', 'cut', '0', 'side', '0', 'chunk', '0', 'chunks', '0',
      'act', '0', 'token', '0', 'epoch', '0')
    go_on_from_end(meta, frames, { stop = 0, generation = FIRST_GENERATION })
    lives[args[2]] = true
  elseif m[1] ~= args[4] then
    return { 'FORMAT', m[1], m[2] }
  elseif not lives[m[2]] then
    word = 'OTHER'
  end
  redis.call('HSET', appenders, args[1], '0 ')
  return { word }
end

-- Makes a queue of format 1 one of this format. What is in it stays as it is: entries `0-N`, each with the bytes
-- before it. Functions of that version do not know of this one, so that no process of it may go on.
-- keys: meta, frames, members, bell. args: the life that was found, one to begin with if the old functions
--   knew that one (or ''), milliseconds without a sign of life after which a process is no more
local function upgrade(keys, args)
  local meta, frames = keys[1], keys[2]
  local m = redis.call('HMGET', meta, 'format', 'life', 'log', 'end')
  if m[1] ~= '1' or m[2] ~= args[1] then
    return { 'OK' }
  end
  local now, all = now_ms(), redis.call('HGETALL', keys[3])
  for i = 1, #all, 2 do
    local at = string.match(all[i + 1], '^(%d+) ')
    if at and now - tonumber(at) <= tonumber(args[3]) then
      return { 'OLDER', all[i] }
    end
  end
  -- One that was frozen takes this for another queue when it wakes, and stops.
  redis.call('HSET', meta, 'format', '2', 'id', m[3], 'log', 'of a newer version')
  redis.call('DEL', keys[4])
  go_on_from_end(meta, frames, { stop = tonumber(m[4]), generation = FIRST_GENERATION })
  if args[2] ~= '' then
    redis.call('HSET', meta, 'life', args[2], 'ended:' .. m[2], m[4])
    lives[args[2]] = true
  end
  return { 'OK' }
end

-- Begins an incarnation. What was in this life of the data beyond its end is not what is there now.
local function begin(meta, life)
  local m = redis.call('HMGET', meta, 'end', 'ended:' .. life)
  local incarnation = redis.call('HINCRBY', meta, 'incarnation', 1)
  redis.call('HSET', meta, 'began:' .. text(incarnation), m[2] or m[1])
  return incarnation
end

-- keys: meta, frames, appends. args: the life that ended, the one that begins, the one in which something was that is lost
--   (or '')
local function revive(keys, args)
  local s = numbers(keys[1])
  if not s then
    return { 'GONE' }
  end
  if s.life == args[1] then
    redis.call('HSET', keys[1], 'life', args[2], 'ended:' .. s.life, text(s.stop), 'end', text(s.stop),
      'cum', text(s.cum))
    clear_between(keys[2], keys[3], s)
    take_back(keys[1], keys[2], s, 0)
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

-- The groups of frames that an append added one behind the other, each stored whole or not at all: what comes of
-- each, in a word: where it begins; `r`: its roles are another process's; `f`: there is no room; `a`: it was behind
-- one of those, and is to be added again. Also the lengths of all frames that stay, and the positions.
local function judge(roles, args, s)
  local bytes_max, frames_max = tonumber(args[5]), tonumber(args[6])
  local at, full, behind = 8, false, false
  local outcomes, lengths, positions, may_do = {}, {}, {}, {}
  for group = 1, tonumber(args[7]) do
    local allowed = true
    local n = tonumber(args[at])
    at = at + 1
    for _ = 1, n do
      local role, token = args[at], args[at + 1]
      local id = token .. ' ' .. role
      if may_do[id] == nil then
        may_do[id] = may(roles, role, token) and true or false
      end
      allowed = allowed and may_do[id]
      at = at + 2
    end
    local positions_at, positions_n = at + 1, tonumber(args[at])
    at = at + 1 + 2 * positions_n
    local need, n = tonumber(args[at]), tonumber(args[at + 1])
    if not allowed then
      outcomes[group], behind = 'r', true
    elseif full or held(s) + need > bytes_max or s.stop - s.first + n > frames_max then
      -- Those behind it wait too, so that no one is overtaken for ever.
      outcomes[group], full, behind = 'f', true, true
    elseif behind then
      outcomes[group] = 'a'
    else
      outcomes[group] = text(s.stop)
      lengths[#lengths + 1] = args[at + 2]
      s.stop, s.cum = s.stop + n, s.cum + need
      for i = positions_at, positions_at + 2 * positions_n - 2, 2 do
        positions[args[i]] = args[i + 1]
      end
    end
    at = at + 3
  end
  return table.concat(outcomes, ','), table.concat(lengths, ' '), positions
end

-- One append of one process, the last command of a transaction that has added frames to the stream.
-- keys: meta, frames, positions, appenders, roles, appends
-- args: life, process, sequence, number of frames added, bound on bytes, bound on frames, number of groups; then of
--   each group: number of roles, (role, token)…, number of positions, (split, position)…, bytes, number of frames,
--   their lengths
local function append(keys, args)
  local meta, frames, positions, appenders, roles, appends = unpack(keys)
  local added = tonumber(args[4])
  local s = numbers(meta)
  if not s then
    local found = redis.call('XREVRANGE', frames, '+', '-', 'COUNT', args[4])
    for i, entry in ipairs(found) do
      found[i] = entry[1]
    end
    delete(frames, found)
    clear_strays(frames)
    if redis.call('XLEN', frames) == 0 then
      redis.call('DEL', frames)
    end
    return { 'GONE' }
  end
  if s.life ~= args[1] or not lives[s.life] then
    take_back(meta, frames, s, added)
    return { 'LIFE', s.life }
  end
  local record = redis.call('HGET', appenders, args[2])
  local space = record and string.find(record, ' ', 1, true)
  local last, sequence = record and tonumber(string.sub(record, 1, space - 1)), tonumber(args[3])
  if sequence == last then
    take_back(meta, frames, s, added)
    -- Written once more, so that whoever waits for the disk waits for something.
    redis.call('HSET', appenders, args[2], record)
    return answer('OK', s, string.sub(record, space + 1))
  elseif not last or sequence ~= last + 1 then
    take_back(meta, frames, s, added)
    return { 'UNKNOWN' }
  end
  local kept = s.stop - s.first
  if redis.call('XLEN', frames) ~= kept + added
    or #redis.call('XRANGE', frames, '(' .. frame_id(s, s.stop + added - 1), '+', 'COUNT', '1') > 0 then
    take_back(meta, frames, s, added)
    if redis.call('XLEN', frames) > kept then
      clear_between(frames, appends, s)
    end
    return answer(redis.call('XLEN', frames) == kept and 'AGAIN' or 'HOLE', s)
  end
  local was, before, generation = s.stop, s.cum, text(s.generation)
  local said, lengths, moved = judge(roles, args, s)
  if s.stop - was < added then
    take_back(meta, frames, s, added - (s.stop - was))
  end
  said = generation .. ' ' .. said
  redis.call('HSET', appenders, args[2], args[3] .. ' ' .. said)
  if s.stop > was then
    redis.call('HSET', meta, 'end', text(s.stop), 'cum', text(s.cum))
    for split, position in pairs(moved) do
      redis.call('HSET', positions, split, position)
    end
    redis.call('XADD', appends, '0-' .. text(was + 1), 'g', generation, 'c', text(before), 'n', lengths)
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

-- The append that brought a frame: its number among the appends; the frame's id, and the bytes before it.
local function append_of(appends, frames, number)
  local found = redis.call('XREVRANGE', appends, '0-' .. text(number + 1), '-', 'COUNT', '1')[1]
  if found then
    local generation, cum, lengths = found[2][2], tonumber(found[2][4]), found[2][6]
    local at = tonumber(string.match(found[1], '%d+$')) - 1
    for length in string.gmatch(lengths, '%d+') do
      if at == number then
        return found[1], generation .. '-' .. text(number + 1), cum
      end
      at, cum = at + 1, cum + tonumber(length)
    end
  end
  -- One of format 1 says that itself.
  local id = '0-' .. text(number + 1)
  return '0-1', id, before(frames, id)
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

-- keys: meta, roles, checkpoints, chunks, frames, appends
-- args: life, token, act, first offset to keep, checkpoints to drop, epoch…, chunks to drop, id…
local function trim(keys, args)
  local s, why = act(keys, args)
  if not s then
    return why
  end
  local first = math.min(tonumber(args[4]), s.stop)
  if first > s.first then
    local call, id, cut = '0-' .. text(first + 1), frame_id(s, first), s.cum
    if first < s.stop then
      call, id, cut = append_of(keys[6], keys[5], first)
    end
    if not cut then
      return answer('HOLE', s)
    end
    redis.call('XTRIM', keys[5], 'MINID', '=', id)
    redis.call('XTRIM', keys[6], 'MINID', '=', call)
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
  redis.register_function { function_name = 'millstream_2_' .. name, callback = callback, flags = flags }
end

-- Only appends are refused when the server is out of memory: all else is what makes room.
register('append', append, {})
register('hello', hello, { 'allow-oom' })
register('upgrade', upgrade, { 'allow-oom' })
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
