-- Saves a session: makes it, changes it, or moves it to another key of its slot.
-- KEYS  1 the session; 2 the key that it moves to, if it does.
-- ARGV  1 the version that the save makes; 2 the version that it builds on;
--       3 flags: f nothing is stored yet, x only on that version, r the request is
--         repeated, c the values go first, t one of i, l, e is among the fields;
--       4, 5 the store's idle timeout and lifetime, in milliseconds, 0 for none;
--       6 when the session was made, '' for now, and when it was last used, if not now; 7 its codec;
--       8 the number of fields to delete; these; then the fields to set, with values.
-- Returns the time of the save in milliseconds when it was carried out and the
-- client knows the outcome; {1, fields} when it was carried out beside others' saves;
-- {0, fields} when it was not, since another version is stored;
-- 0 when nothing is stored; -1 when the key is taken; -2 when it holds no session;
-- -3 when it cannot be told whether a repeated request was carried out before.
local key, to = KEYS[1], KEYS[#KEYS]
local makes, on, flags, idle, lifetime, created, codec, deletes = unpack(ARGV, 1, 8)
local function flag(f) return flags ~= '' and string.find(flags, f, 1, true) end
local function text(n) return string.format('%d', n) end
local function all(code, k) return {code, redis.call('HGETALL', k)} end
local function made(v) return v and string.find(v, ' ' .. makes, 1, true) end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local fresh, merged, used = flag('f'), false, now
if created ~= '' then
	used = tonumber(string.match(created, ' (%d+)$')) or now
	created = string.match(created, '^%d*')
end
local was = redis.call('HMGET', key, 'v', 's', 'i', 'l', 'e')
local versions = was[1] and string.find(was[1], ' ', 1, true)
-- No other save has come after the one that this builds on.
local last = versions and string.find(was[1], on, versions, true) == versions + 1
if not last and made(was[1]) then return all(1, key) end
if fresh then
	if redis.call('EXISTS', key) == 1 then return -1 end
elseif not was[1] or not was[2] then
	if redis.call('EXISTS', key) == 1 then return -2 end
	if to ~= key and made(redis.call('HGET', to, 'v')) then return all(1, to) end
	return 0
else
	merged = not last
	-- A repeated save that is older than all versions known may have been carried out.
	if merged and flag('r') and not string.find(was[1], ' ' .. on, 1, true) then return -3 end
	if merged and flag('x') then return all(0, key) end
end

-- Nothing was written so far. A server out of memory refuses the first write that
-- needs some, and none after a write; DEL, HDEL and RENAME need none.
if to ~= key then redis.call('RENAME', key, to) end
if flag('c') then
	local values = {}
	for _, field in ipairs(redis.call('HKEYS', to)) do
		if string.sub(field, 1, 1) == '=' then values[#values + 1] = field end
	end
	for i = 1, #values, 1000 do
		redis.call('HDEL', to, unpack(values, i, math.min(i + 999, #values)))
	end
end
local first = 9 + deletes
for i = 9, first - 1, 1000 do
	redis.call('HDEL', to, unpack(ARGV, i, math.min(i + 999, first - 1)))
end
local v = text(used) .. ' ' .. makes
if versions then v = v .. string.sub(was[1], versions, versions + 3 * (#makes + 1) - 1) end
local s = was[2]
if fresh or to ~= key then
	if created == '' then created = text(now) end
	s = '1 ' .. codec .. ' ' .. created
	redis.call('HSET', to, 's', s)
end
redis.call('HSET', to, 'v', v, unpack(ARGV, first, math.min(first + 997, #ARGV)))
for i = first + 998, #ARGV, 1000 do
	redis.call('HSET', to, unpack(ARGV, i, math.min(i + 999, #ARGV)))
end

if flag('t') then
	local own = redis.call('HMGET', to, 'i', 'l', 'e')
	was[3], was[4], was[5] = own[1], own[2], own[3]
end
idle, lifetime = tonumber(was[3] or idle), tonumber(was[4] or lifetime)
local ends = tonumber(was[5] or math.huge)
if idle > 0 then ends = math.min(ends, used + idle) end
if lifetime > 0 then ends = math.min(ends, tonumber(string.match(s, '%d+$', 4)) + lifetime) end
if ends == math.huge then
	redis.call('PERSIST', to)
elseif ends > now then
	redis.call('PEXPIREAT', to, text(ends))
else
	redis.call('DEL', to)
	return 0
end
if merged then return all(1, to) end
return now
