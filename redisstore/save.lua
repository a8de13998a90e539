-- Saves a session: makes it, changes it, or moves it to another key of its slot.
-- KEYS  1 the session; 2 the key that it moves to, if it does.
-- ARGV  1 the version that the save makes; 2 the version that it builds on;
--       3 flags: f nothing is stored yet, x only on that version, r the request is
--         repeated, c the values go first, d there are fields to delete, t the session has
--         timeouts of its own, or one of i, l, e is among the fields;
--       4, 5 the store's idle timeout and lifetime, in milliseconds, 0 for none;
--       with f or a second key the codec and, if not now, when the session was made and last
--       used; with d the number of fields to delete, and these; then those to set, with values.
-- Returns the time of the save in milliseconds when it was carried out and the
-- client knows the outcome; {1, fields} when it was carried out beside others' saves;
-- {0, fields} when it was not, since another version is stored;
-- 0 when nothing is stored; -1 when the key is taken; -2 when it holds no session;
-- -3 when it cannot be told whether a repeated request was carried out before.
local key, to, makes, on, flags = KEYS[1], KEYS[#KEYS], ARGV[1], ARGV[2], ARGV[3]
local fresh, exact, repeated, clears, deletes, own
if flags ~= '' then
	local function flag(f) return string.find(flags, f, 1, true) end
	fresh, exact, repeated, clears, deletes, own = flag('f'), flag('x'), flag('r'), flag('c'), flag('d'), flag('t')
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local was = redis.call('HMGET', key, 'v', 's', 'e')
local v, s, ends = was[1], was[2], was[3]
local versions = v and string.find(v, ' ', 1, true)
-- No other save has come after the one that this builds on.
local last = versions and s and not fresh and string.sub(v, versions + 1, versions + #on) == on
if not last then
	local function all(code, k) return {code, redis.call('HGETALL', k)} end
	local function made(v) return v and string.find(v, ' ' .. makes, 1, true) end
	if made(v) then return all(1, key) end
	if fresh then
		if redis.call('EXISTS', key) == 1 then return -1 end
	elseif not v or not s then
		if redis.call('EXISTS', key) == 1 then return -2 end
		if to ~= key and made(redis.call('HGET', to, 'v')) then return all(1, to) end
		return 0
	-- A repeated save that is older than all versions known may have been carried out.
	elseif repeated and not string.find(v, ' ' .. on, 1, true) then
		return -3
	elseif exact then
		return all(0, key)
	end
end
local merged = not last and not fresh

-- Nothing was written so far. A server out of memory refuses the first write that
-- needs some, and none after a write; DEL, HDEL and RENAME need none.
if to ~= key then redis.call('RENAME', key, to) end
if clears then
	local values = {}
	for _, field in ipairs(redis.call('HKEYS', to)) do
		if string.sub(field, 1, 1) == '=' then values[#values + 1] = field end
	end
	for i = 1, #values, 1000 do
		redis.call('HDEL', to, unpack(values, i, math.min(i + 999, #values)))
	end
end
local at, used = 6, now
if fresh or to ~= key then
	local codec, created, last = string.match(ARGV[at], '^(%S+) ?(%d*)%S* ?(%d*)')
	s, used = string.format('1 %s %d', codec, tonumber(created) or now), tonumber(last) or now
	redis.call('HSET', to, 's', s)
	at = at + 1
end
if deletes then
	local from = at + 1
	at = from + ARGV[at]
	for i = from, at - 1, 1000 do
		redis.call('HDEL', to, unpack(ARGV, i, math.min(i + 999, at - 1)))
	end
end
local saves = string.format('%d %s', used, makes)
if versions then saves = saves .. string.sub(v, versions, versions + 3 * (#makes + 1) - 1) end
redis.call('HSET', to, 'v', saves, unpack(ARGV, at, math.min(at + 997, #ARGV)))
for i = at + 998, #ARGV, 1000 do
	redis.call('HSET', to, unpack(ARGV, i, math.min(i + 999, #ARGV)))
end

local idle, lifetime = ARGV[4], ARGV[5]
if merged or own then
	local own = redis.call('HMGET', to, 'i', 'l', 'e')
	idle, lifetime, ends = own[1] or idle, own[2] or lifetime, own[3]
end
ends = tonumber(ends or math.huge)
if idle ~= '0' then ends = math.min(ends, used + idle) end
if lifetime ~= '0' then ends = math.min(ends, string.match(s, '%d+$', 4) + lifetime) end
if ends == math.huge then
	redis.call('PERSIST', to)
elseif ends > now then
	redis.call('PEXPIREAT', to, string.format('%d', ends))
else
	redis.call('DEL', to)
	return 0
end
if merged then return {1, redis.call('HGETALL', to)} end
return now
